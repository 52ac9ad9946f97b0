"""Factorization machines with and without a deep part, over tables of features, and as a recommender."""

from palate.models.deep_fm.model import DeepFM, DeepFMParams
from palate.models.deep_fm.params import FMRankerParams
from palate.models.deep_fm.ranker import FMRanker

__all__ = ["DeepFM", "DeepFMParams", "FMRanker", "FMRankerParams"]
