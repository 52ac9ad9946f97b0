"""Two towers over content, trained together: DSSM for recommendation."""

from palate.models.two_tower.recommender import TwoTower, TwoTowerParams

__all__ = ["TwoTower", "TwoTowerParams"]
