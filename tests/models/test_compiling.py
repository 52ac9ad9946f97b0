"""A factor model in another form answers as before; `palate compile` measures the forms and chooses by its rule."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from palate.bundle import load_recommender, read_manifest, write_bundle
from palate.cli.bundle import bundle as bundle_command
from palate.cli.compile import compile as command
from palate.errors import PalateError, ParameterError
from palate.kernels.compact import FORMS as ROUNDED
from palate.kernels.compact import Compact, Form
from palate.models.compiling import FORMS, Report, compiled
from palate.models.factorization import FactorModel
from tests.models.test_indexed import trained


@pytest.fixture(scope="module")
def exact() -> FactorModel:
    return trained("ials", iterations=3)


@pytest.fixture(scope="module")
def biased() -> FactorModel:
    return trained("bpr", iterations=5)


@pytest.mark.parametrize("form", ROUNDED)
@pytest.mark.parametrize("kind", ["exact", "biased"])
def test_rounded_factors_answer_as_the_true_ones(form: Form, kind: str, request: pytest.FixtureRequest) -> None:
    model: FactorModel = request.getfixturevalue(kind)
    made = model.compacted(form)
    random = np.random.default_rng(3)
    for code in range(0, 300, 25):
        user = model.users.decode(np.array([code], np.int32))
        for share in (1.0, 0.5, 0.01):  # of the items that a filter leaves
            barred = random.random(len(model.items)) > share
            ours, theirs = (each.best(code, 12, barred) for each in (made, model))
            assert ours is not None
            assert theirs is not None
            assert not barred[ours[0]].any()
            np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-4, atol=1e-5)  # of equals either may come first
            allowed = model.items.decode(np.flatnonzero(~barred))
            unseen, expected = (each.recommend(user, 12, candidates=allowed) for each in (made, model))
            np.testing.assert_allclose(unseen.scores, expected.scores, rtol=1e-4, atol=1e-5)
            assert set(unseen.codes[0]) & set(model.seen[code].indices) == set()
    everybody = model.users.decode(np.arange(20, dtype=np.int32))
    assert made.recommend(everybody, 5).ids() == model.recommend(everybody, 5).ids()
    assert made.recommend(["nobody"], 5).ids() == model.recommend(["nobody"], 5).ids()
    assert made.best(-1, 5) is None


def test_the_choice_follows_the_rule_and_the_manifest_holds_what_was_measured(
    exact: FactorModel, tmp_path: Path
) -> None:
    write_bundle(exact, tmp_path / "plain", metrics={"ndcg": 0.5}, lineage={"fingerprint": "abc"})
    done = CliRunner().invoke(command, [str(tmp_path / "plain"), "-o", str(tmp_path / "fast"), "--recall", "0.9"])
    assert done.exit_code == 0, done.output
    manifest = read_manifest(tmp_path / "fast")
    assert manifest.metrics == {"ndcg": 0.5}
    assert manifest.fingerprint == "abc"
    report = Report.of(manifest.lineage["compiled"])
    assert [each.form for each in report.measured] == list(FORMS)
    by_form = {each.form: each for each in report.measured}
    assert [by_form[form].recall for form in ("exact", *ROUNDED)] == [1, 1, 1]
    assert by_form["index"].recall >= 0.9
    assert by_form["exact"].bytes == 0 < by_form["int8"].bytes < by_form["float16"].bytes
    fastest = min(report.measured, key=lambda each: each.p99_ms)
    if fastest.p99_ms <= 0.9 * by_form["exact"].p99_ms:
        assert report.chosen == fastest.form
    else:
        assert report.chosen == "exact"
    for line in report.lines():
        assert line in done.output
    shown = CliRunner().invoke(bundle_command, ["show", str(tmp_path / "fast")])
    assert all(line in shown.output for line in report.lines())


@pytest.mark.parametrize("form", FORMS)
def test_a_form_that_is_asked_for_is_written_and_read_back(exact: FactorModel, form: str, tmp_path: Path) -> None:
    write_bundle(exact.compacted("int8"), tmp_path / "plain")  # compiled before, in another form
    arguments = [str(tmp_path / "plain"), "-o", str(tmp_path / "fast"), "--form", form, "--recall", "1", "--json"]
    done = CliRunner().invoke(command, arguments)
    assert done.exit_code == 0, done.output
    said = json.loads(done.output)
    assert said["chosen"] == form
    assert min(each["recall"] for each in said["measured"]) == 1
    model = load_recommender(tmp_path / "fast")
    assert isinstance(model, FactorModel)
    if form in ROUNDED:
        assert isinstance(model.index, Compact)
        assert model.index.form == form
    assert (model.index is None) == (form == "exact")
    for user in ("u000", "u007", "u123"):
        assert model.recommend([user], 10).ids() == exact.recommend([user], 10).ids()


def test_what_takes_more_memory_than_allowed_is_left_out(exact: FactorModel) -> None:
    _, report = compiled(exact, ("exact", "int8"), memory=0)
    assert report.chosen == "exact"
    with pytest.raises(ParameterError, match="adds so little: the smallest takes"):
        compiled(exact, ("int8", "float16"), memory=1000)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"recall": 0}, "recall: must be above 0"),
        ({"recall": 1.5}, "at most 1"),
        ({"recall": float("nan")}, "recall: must be"),
        ({"forms": ()}, "forms: must be of exact, float16, int8, index"),
        ({"forms": ("int4",)}, "int4"),
        ({"memory": -1}, "memory: must not be below 0"),
        ({"by": "mean"}, "p50 or p99"),
    ],
)
def test_values_out_of_range_are_refused(exact: FactorModel, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        compiled(exact, **wrong)


def test_a_model_of_nobody_and_memory_of_no_number(exact: FactorModel, tmp_path: Path) -> None:
    nobody = exact.plain()
    nobody.user_factors = np.zeros_like(exact.user_factors)
    with pytest.raises(ParameterError, match="nobody to measure"):
        compiled(nobody)
    write_bundle(exact, tmp_path / "plain")
    for value in ("nan", "inf"):
        done = CliRunner().invoke(command, [str(tmp_path / "plain"), "-o", str(tmp_path / "x"), "--memory", value])
        assert isinstance(done.exception, PalateError)
        assert not (tmp_path / "x").exists()
