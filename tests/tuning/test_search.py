"""The search: what it tries, in which order, how far the budget lets it, and that it can be interrupted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from palate.dataset.ids import IdMap
from palate.dataset.schema import Interactions
from palate.errors import ParameterError
from palate.models.validation import cut_validation
from palate.tuning import SAMPLERS, Budget, Candidate, Outcome, Place, Search, Task, seconds_of, using
from tests.models.worlds import world


@pytest.fixture(scope="module")
def task() -> Task:
    data, items = world(told=False)
    cut = cut_validation(data, 0.2, 0)
    assert cut is not None
    return Task([cut], items)


def search(task: Task, *kinds: str, budget: float = 1000, **values: object) -> Search:
    return Search(task, kinds, Budget(budget), lambda best: 0.0, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15m", 900), (" 1.5 h ", 5400), ("7", 7)])
def test_a_budget_is_a_time(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "0s", "soon", "-3m", "1d", "m", "1e9h", "nan"])
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(ParameterError, match="budget: it must be a time such as 90s"):
        seconds_of(text)


def test_the_cheapest_comes_first_and_what_is_far_behind_is_not_tuned(task: Task) -> None:
    told: list[Outcome] = []
    found = search(task, "item-knn", "popularity", limit=4, told=told.append).run()
    assert [each.candidate.kind for each in told] == ["popularity", *["item-knn"] * 4]
    assert found.skipped == {"popularity": "far from the best"}
    assert found.kinds == ["item-knn", "popularity"]
    best = found.best("item-knn")
    assert best is not None
    assert best.ndcg == max(each.ndcg for each in found.outcomes)
    assert task.run(best.candidate).ndcg == pytest.approx(best.ndcg)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_proposes_settings(task: Task, sampler: str) -> None:
    found = search(task, "user-knn", sampler=sampler, limit=3).run()
    tried = {tuple(sorted(each.candidate.values.items())) for each in found.outcomes}
    assert len(tried) == 3
    assert not any(each.failure for each in found.outcomes)


def test_the_same_seed_proposes_the_same(task: Task) -> None:
    first, second, other = (
        [each.candidate.values for each in search(task, "user-knn", limit=3, seed=seed).run().outcomes]
        for seed in (1, 1, 2)
    )
    assert first == second != other


def test_an_interrupted_search_resumes_from_its_file(task: Task, tmp_path: Path) -> None:
    told: list[Outcome] = []

    def interrupt(outcome: Outcome) -> None:
        told.append(outcome)
        if len(told) == 3:
            raise KeyboardInterrupt

    file = tmp_path / "study.db"
    with pytest.raises(KeyboardInterrupt):
        search(task, "user-knn", "item-knn", limit=4, storage=file, told=interrupt).run()
    before = len(told)
    found = search(task, "user-knn", "item-knn", limit=4, storage=file, told=told.append).run()
    assert before == 3
    assert len(told) == len(found.outcomes) == 8
    assert [o.candidate.values for o in found.outcomes if o.candidate.kind == "user-knn"] == [
        o.candidate.values for o in told if o.candidate.kind == "user-knn"
    ]


def test_what_would_take_too_long_is_not_begun() -> None:
    rng = np.random.default_rng(0)
    n_items = 8000
    items = np.concatenate([rng.permutation(n_items), rng.integers(0, n_items, n_items)]).astype(np.int32)
    users = rng.integers(0, n_items, len(items)).astype(np.int32)
    data = Interactions(IdMap(np.arange(n_items)), IdMap(np.arange(n_items)), users, items)
    cut = cut_validation(data, 0.1, 0)
    assert cut is not None
    found = search(Task([cut]), "ease", "popularity", budget=10.0).run()
    assert found.kinds == ["popularity"]
    assert found.skipped["ease"].startswith("not tried: a fit would take some")


def test_what_takes_long_to_rank_is_tuned_after_what_takes_little_in_all(task: Task) -> None:
    def told_times(task: Task, candidates: list[Candidate]) -> list[Outcome]:
        times = {"user-knn": (0.3, 0.0, 1.0), "item-knn": (0.29, 1.0, 0.0)}
        return [Outcome(each, *times[each.kind]) for each in candidates]

    told: list[Outcome] = []
    with using(Place(told_times)):
        search(task, "user-knn", "item-knn", budget=1e6, limit=4, told=told.append).run()
    assert task.testers > 10
    assert [each.candidate.kind for each in told[2:]] == ["item-knn"] * 3 + ["user-knn"] * 3


def test_a_trial_leaves_the_time_for_what_follows_if_it_is_the_best(task: Task) -> None:
    def reserve(outcomes: Sequence[Outcome]) -> float:
        this, *others = outcomes
        return 2000.0 if others and this.ndcg >= max(each.ndcg for each in others) else 0.0

    found = Search(task, ["popularity", "user-knn"], Budget(1000), reserve).run()
    assert len(found.ranked("user-knn")) == 1
    assert found.skipped["user-knn"] == "no time for more"


def test_a_budget_that_suffices_for_nothing_is_refused(task: Task) -> None:
    with pytest.raises(ParameterError, match=r"auto.budget: 0.01 s are too little .* Give \d+s or more"):
        search(task, "ease", "ials", budget=0.01).run()


def test_a_candidate_that_fails_is_told_and_is_not_the_end(task: Task) -> None:
    failed = task.run(Candidate("als", {"regularization": 1e30, "factors": 4}))
    assert "not finite" in failed.failure
    assert np.isnan(failed.ndcg)

    def break_als(task: Task, candidates: list[Candidate]) -> list[Outcome]:
        return [
            task.run(Candidate("als", {"regularization": 1e30}) if each.kind == "als" else each) for each in candidates
        ]

    with using(Place(break_als)):
        found = search(task, "als", "popularity").run()
        assert found.kinds == ["popularity"]
        assert "not finite" in found.skipped["als"]
        with pytest.raises(ParameterError, match=r"no candidate could be fitted: .*not finite"):
            search(task, "als").run()


def test_dear_trials_first_show_what_they_are_worth_on_some_users(task: Task) -> None:
    found = search(task, "user-knn", limit=9, look_above=0.0).run()
    looks = [each for each in found.outcomes if each.candidate.share < 1]
    whole = [each for each in found.outcomes if each.candidate.share == 1]
    pruned = [each for each in looks if each.pruned]
    assert len(whole) + len(pruned) == 9
    assert len(looks) == 8
    assert pruned
    kept = [each.ndcg for each in looks if not each.pruned]
    assert max(each.ndcg for each in pruned) < np.median(kept)


def test_several_trials_run_at_once_where_the_place_has_room(task: Task) -> None:
    batches: list[int] = []

    def runner(task: Task, candidates: list[Candidate]) -> list[Outcome]:
        batches.append(len(candidates))
        return [task.run(each) for each in candidates]

    with using(Place(runner, width=3)):
        found = search(task, "user-knn", limit=7).run()
    assert len(found.outcomes) == 7
    assert max(batches) == 3
