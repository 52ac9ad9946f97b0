"""Run a graph of jobs, told in YAML: only those that something has changed for."""

from palate.spark.job import main
from palate.spark.jobs.pipeline import command

if __name__ == "__main__":
    main(command)
