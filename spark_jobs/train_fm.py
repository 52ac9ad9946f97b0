"""Train a factorization machine on rows of categories and numbers."""

from palate.spark.job import main
from palate.spark.jobs.train_fm import command

if __name__ == "__main__":
    main(command)
