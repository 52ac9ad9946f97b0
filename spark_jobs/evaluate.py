"""Measure a model on the held-out part, by full ranking."""

from palate.spark.job import main
from palate.spark.jobs.evaluate import command

if __name__ == "__main__":
    main(command)
