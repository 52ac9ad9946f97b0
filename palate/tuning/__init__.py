"""The search behind `auto`: candidates within a time budget, cheapest first, tuned by Optuna on validation data."""

from palate.tuning.budget import Budget, seconds_of
from palate.tuning.search import Search, Searched
from palate.tuning.studies import SAMPLERS
from palate.tuning.trials import Candidate, Outcome, Place, Task, using

__all__ = ["SAMPLERS", "Budget", "Candidate", "Outcome", "Place", "Search", "Searched", "Task", "seconds_of", "using"]
