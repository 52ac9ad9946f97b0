"""`auto` from its doors: a model, a command, a page, runs; and that nothing but the training data guides it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from palate.bundle import load_bundle, write_bundle
from palate.cli import main
from palate.cli.evaluate import with_search
from palate.dataset.splits import Split, random_split
from palate.errors import ParameterError
from palate.evaluation.protocol import evaluate
from palate.models import make_recommender
from palate.models.auto import Auto
from palate.models.protocol import Capability
from palate.tracking import Tracker
from palate.tuning import Candidate, Outcome, Place, Task, using
from tests.models.test_recency import drifting
from tests.models.worlds import world

QUICK = {"candidates": "popularity,item-knn,user-knn,content", "trials": 3, "holdout": 0.2, "budget": "10m"}


@cache
def halves(*, told: bool) -> Split:
    return random_split(world(told=told)[0], 0.2, seed=1)


@cache
def found(*, told: bool) -> Auto:
    return Auto(**QUICK).fit(halves(told=told).train, world(told=told)[1])


@pytest.mark.parametrize("told", [True, False])
def test_it_is_about_as_good_as_the_best_single_model_tuned_on_the_same_data_or_better(told: bool) -> None:
    split, items = halves(told=told), world(told=told)[1]
    model = found(told=told)
    assert model.story is not None
    singles = [
        evaluate(make_recommender(best.candidate.kind, best.candidate.values), split.train, split.test, (20,), items)
        for best, _ in model.story.best_of_each()
    ]
    mine = evaluate(model, split.train, split.test, (20,), items).metrics["ndcg@20"]
    assert mine > 0.97 * max(single.metrics["ndcg@20"] for single in singles)


def test_it_tells_what_it_tried() -> None:
    story = found(told=False).story
    assert story is not None
    kinds = {outcome.candidate.kind for outcome in story.outcomes}
    assert kinds == {"popularity", "item-knn", "user-knn", "content"}
    page, lines = story.page(), "\n".join(story.lines())
    for outcome in story.outcomes:
        assert str(outcome.candidate.part) in page
    assert page.count("<circle") >= len(story.outcomes)
    assert "http" not in page
    assert f"Chosen: {', '.join(story.parts)}." in lines


def test_it_covers_the_cold_start_where_the_catalogue_tells_something() -> None:
    model = found(told=True)
    assert model.can(Capability.FOLD_IN_ITEMS)
    assert model.weights(5, 0)["content"] == 1.0


def test_it_is_kept_as_a_bundle(tmp_path: Path) -> None:
    model = found(told=False)
    write_bundle(model, tmp_path / "bundle")
    again = load_bundle(tmp_path / "bundle")
    assert isinstance(again, Auto)
    assert again.recommend([1, 2, 3], 5).ids() == model.recommend([1, 2, 3], 5).ids()
    assert again.capabilities == model.capabilities


def test_with_too_few_to_measure_by_there_is_no_search() -> None:
    few = halves(told=True).train
    model = Auto().fit(few.take(few.user_codes < 40), world(told=True)[1])
    assert model.story is None
    assert list(model.parts) == ["als", "content", "popularity"]


def test_where_ranking_for_everybody_would_outlast_the_budget_there_are_fewer_parts() -> None:
    def slow(task: Task, candidates: Sequence[Candidate]) -> list[Outcome]:
        return [replace(task.run(each), ranking=10.0) for each in candidates]

    with using(Place(slow)):
        model = Auto(**QUICK).fit(halves(told=False).train)
    assert len(model.rankers) == 1
    assert model.story is not None
    assert set(model.story.skipped.values()) >= {"no time for more"}


def test_where_ranking_with_all_parts_would_take_most_of_the_budget_there_are_fewer_and_these_are_tuned() -> None:
    def slow(task: Task, candidates: Sequence[Candidate]) -> list[Outcome]:
        return [replace(task.run(each), ranking=0.09) for each in candidates]

    with using(Place(slow)):
        model = Auto(**{**QUICK, "candidates": "popularity,item-knn,user-knn", "trials": 2}).fit(
            halves(told=False).train
        )
    assert model.story is not None
    assert len(model.story.outcomes) > 3


def test_the_dearest_part_gives_way_to_a_cheaper_trial_of_its_kind_and_the_best_to_none() -> None:
    def tried(kind: str, ndcg: float, fitting: float) -> Outcome:
        return Outcome(Candidate(kind, {}), ndcg, fitting, 1e-4)

    best, dear, cheaper = tried("graph-filter", 0.3, 40.0), tried("ials", 0.29, 100.0), tried("ials", 0.28, 5.0)
    plain, popular = tried("user-knn", 0.25, 0.1), tried("popularity", 0.1, 0.1)
    outcomes = [popular, plain, cheaper, dear, best, Outcome(Candidate("ials", {}, share=0.25), 0.5, 1.0)]

    def taken(left: float) -> list[Outcome]:
        return Auto()._affordable(outcomes, left, people=1000, cuts=1)

    assert taken(1000.0) == [best, dear, plain, popular]
    assert taken(200.0) == [best, cheaper, plain, popular]
    assert taken(125.0) == [best, plain, popular]
    assert taken(1.0) == [best, popular]


@pytest.mark.parametrize("told", [True, False])
def test_every_part_counts_something(told: bool) -> None:
    model = found(told=told)
    assert len(model.rankers) == len(model.trust.parts)
    assert model.trust.parts.any(axis=1).all()


def test_how_much_the_recent_counts_is_tuned_where_it_looks_ahead() -> None:
    values = {"candidates": "user-knn", "trials": 2, "budget": "10m"}
    ahead, anywhere = (Auto(**values, look=look).fit(drifting(80)) for look in ("", "anywhere"))
    assert ahead.story is not None
    assert anywhere.story is not None
    assert [each.candidate.values["recency"] for each in ahead.story.outcomes] == [0.5, 0.5]  # then as is proposed
    assert not any("recency" in each.candidate.values for each in anywhere.story.outcomes)
    with pytest.raises(ParameterError, match=r"auto\.look: the interactions have no times"):
        Auto(**values, look="ahead").fit(halves(told=False).train)


def test_a_random_split_is_prepared_for_by_random_validation_data() -> None:
    assert with_search("auto", ("trials=3",), None, None, "random") == ("look=anywhere", "trials=3")
    assert with_search("auto", (), None, None, "leave-last-fraction") == ()
    assert with_search("ease", (), None, None, "random") == ()


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"look": "back"}, "auto.look"),
        ({"budget": "soon"}, "auto.budget: it must be a time such as"),
        ({"sampler": "dice"}, "auto.sampler: it must be one of tpe, random, grid, sobol, gp"),
        ({"candidates": "ease,magic"}, "there is no model kind 'magic'"),
        ({"candidates": "blend"}, "auto.candidates: blend is no plain kind of model"),
        ({"candidates": "als(factors=8)"}, "is no plain kind of model"),
        ({"trials": 0}, "auto.trials"),
    ],
)
def test_wrong_parameters(values: dict[str, object], told: str) -> None:
    with pytest.raises(ParameterError) as caught:
        Auto(**values)
    assert told in str(caught.value)


# -- from the command line ---------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    split = halves(told=False)
    paths = tmp_path / "train.txt", tmp_path / "test.txt"
    for path, part in zip(paths, (split.train, split.test), strict=True):
        rows = [part.item_codes[part.user_codes == user] for user in range(part.n_users)]
        path.write_text("".join(f"{user} {' '.join(map(str, row))}\n" for user, row in enumerate(rows) if len(row)))
    return paths


def run(*arguments: object) -> int:
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


SETTINGS = ("--set", "candidates=item-knn,popularity", "--set", "trials=2")


def test_evaluate_with_a_budget_logs_every_trial(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("PALATE_TRACKING_URI", uri)
    page, out = tmp_path / "tried.html", tmp_path / "out.json"
    said = ("--format", "lightgcn", "--model", "auto", "--budget", "5m", "--report", page, "--json", out, *SETTINGS)
    assert run("evaluate", "--train", files[0], "--test", files[1], *said) == 0
    assert "Tried 3 settings of 2 kinds" in capsys.readouterr().out
    assert "item-knn" in page.read_text()
    assert json.loads(out.read_text())["params"]["budget"] == "5m"
    with Tracker(uri)._connection.client() as client:
        experiment = client.get_experiment_by_name("palate")
        assert experiment is not None
        runs = client.search_runs([experiment.experiment_id])
    parent = next(each for each in runs if each.info.run_name == "search")
    trials = [each for each in runs if each.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert {each.data.params["model"] for each in trials} == {"popularity", "item-knn"}
    assert len(trials) == 3
    assert all(each.data.metrics["validation_ndcg_at_20"] > 0 for each in trials)
    assert "item-knn" in parent.data.params["parts"]


def test_train_writes_a_bundle(files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = ("train", "--train", files[0], "--format", "lightgcn", "--out", tmp_path / "best")
    assert run(*said, "--model", "auto", "--budget", "5m", *SETTINGS) == 0
    assert "Chosen: item-knn" in capsys.readouterr().out
    model = load_bundle(tmp_path / "best")
    assert isinstance(model, Auto)
    assert (np.array(model.recommend([3], 5).ids()) >= 0).all()
    assert run(*said, "--model", "popularity") == 2
    assert "there is something here already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--model", "ease", "--budget", "5m"), "--budget: ease is trained at once"),
        (("--model", "auto", "--budget", "never"), "auto.budget: it must be a time such as"),
        (("--model", "auto", "--budget", "0.001s"), "are too little to train anything here"),
        (("--model", "als", "--alias", "champion"), "--alias: it goes with --register"),
    ],
)
def test_bad_input_of_train_ends_with_one_line(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], told: str
) -> None:
    assert run("train", "--train", files[0], "--format", "lightgcn", "--out", tmp_path / "out", *arguments) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
