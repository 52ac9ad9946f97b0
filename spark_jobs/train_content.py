"""Train the content model, for new items."""

from palate.spark.job import main
from palate.spark.jobs.train import train_content

if __name__ == "__main__":
    main(train_content)
