"""The best items for every user, as Parquet."""

from palate.spark.job import main
from palate.spark.jobs.recommend import command

if __name__ == "__main__":
    main(command)
