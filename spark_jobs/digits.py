"""Group handwritten digits by PCA and k-means."""

from palate.spark.job import main
from palate.spark.jobs.digits import command

if __name__ == "__main__":
    main(command)
