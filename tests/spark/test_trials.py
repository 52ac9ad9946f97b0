"""Trials on executors find what they find in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from palate.models.validation import cut_validation
from palate.tuning import Budget, Candidate, Search, Task, using
from palate.tuning.trials import HERE
from tests.models.worlds import world

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark


def test_trials_run_on_executors(spark: SparkSession) -> None:
    from palate.spark.trials import executors_of, place_of

    data, items = world(told=False)
    cut = cut_validation(data, 0.2, 0)
    assert cut is not None
    task = Task([cut], items)
    place = executors_of(spark)
    with using(place):
        found = Search(task, ["item-knn", "popularity"], Budget(1000), lambda best: 0.0, limit=3, look_above=1e9).run()
    assert len(found.outcomes) == 4
    for outcome in found.outcomes:
        assert task.run(outcome.candidate).ndcg == pytest.approx(outcome.ndcg)
    (failed,) = place.runner(task, [Candidate("als", {"regularization": 1e30})])
    assert "not finite" in failed.failure
    assert place_of(spark) is HERE
