"""Part items and users into segments by their content."""

from palate.spark.job import main
from palate.spark.jobs.segment import command

if __name__ == "__main__":
    main(command)
