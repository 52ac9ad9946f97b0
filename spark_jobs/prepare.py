"""Check, index and split raw interactions."""

from palate.spark.job import main
from palate.spark.jobs.prepare import command

if __name__ == "__main__":
    main(command)
