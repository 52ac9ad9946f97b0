"""The history of the labeling store's tables."""
