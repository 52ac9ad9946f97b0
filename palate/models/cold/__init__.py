"""The cold start: items that nobody has touched, and users of whom only attributes are known."""

from palate.models.cold.recommender import ColdStart, ColdStartParams, ContentMap

__all__ = ["ColdStart", "ColdStartParams", "ContentMap"]
