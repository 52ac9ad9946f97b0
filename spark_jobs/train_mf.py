"""Train a matrix factorization, or another model that ranks items."""

from palate.spark.job import main
from palate.spark.jobs.train import train_mf

if __name__ == "__main__":
    main(train_mf)
