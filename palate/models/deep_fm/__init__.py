"""Factorization machines with and without a deep part, over tables of features, and as a recommender."""

from palate.models.deep_fm.model import DeepFM, DeepFMParams

__all__ = ["DeepFM", "DeepFMParams"]
