"""A factor model with an index of its items answers as without it, and takes the index along in its bundle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from palate.bundle import load_recommender, write_bundle
from palate.cli.compile import _INSTEAD
from palate.cli.compile import compile as command
from palate.dataset.ids import IdMap
from palate.dataset.schema import Interactions
from palate.errors import ParameterError
from palate.kernels.clusters import Clusters
from palate.models import KINDS, artifact_class, make_recommender
from palate.models.factorization import FactorModel
from palate.models.pca import PCA


def trained(kind: str, **values: int) -> FactorModel:
    """1,500 items in 30 groups; each of 300 users likes 40 of one."""
    random = np.random.default_rng(0)
    users = np.repeat(np.arange(300, dtype=np.int32), 40)
    items = (random.integers(0, 50, len(users)) * 30 + users % 30).astype(np.int32)
    pairs = np.unique(np.stack([users, items]), axis=1)
    ids = IdMap([f"u{n:03}" for n in range(300)]), IdMap([f"i{n:04}" for n in range(1500)])
    model = make_recommender(kind, {"factors": 16, **values}).fit(Interactions(*ids, *pairs))
    assert isinstance(model, FactorModel)
    return model


@pytest.fixture(scope="module")
def exact() -> FactorModel:
    return trained("ials", iterations=5)


@pytest.fixture(scope="module")
def indexed(exact: FactorModel) -> FactorModel:
    return exact.indexed(recall=1.0)


def test_it_answers_as_without(exact: FactorModel, indexed: FactorModel) -> None:
    users = [*exact.users.decode(np.arange(5)), "nobody"]
    for asked in (users[:5], users, users[-1:]):
        for exclude in ("seen", None):
            ours, theirs = (model.recommend(asked, 10, exclude=exclude) for model in (indexed, exact))
            np.testing.assert_allclose(ours.scores, theirs.scores, rtol=1e-4)  # of equals either may come first
            np.testing.assert_array_equal(ours.personal, theirs.personal)


@pytest.mark.parametrize("kind", ["ials", "bpr"])
def test_few_users_get_what_many_get(exact: FactorModel, kind: str) -> None:
    """Few are looked up one by one, many by a product of matrices."""
    model = exact if kind == "ials" else trained(kind, iterations=5)
    users = model.users.decode(np.arange(20))
    every = model.items.decode(np.arange(0, 1500, 3))
    for exclude in ("seen", None, [every[n : n + 200] for n in range(20)]):
        for candidates, n in ((None, 10), (every, 10), (every[:4], 10)):
            many = model.recommend(users, n, exclude=exclude, candidates=candidates)
            own = exclude[:3] if isinstance(exclude, list) else exclude
            few = model.recommend(users[:3], n, exclude=own, candidates=candidates)
            np.testing.assert_allclose(few.scores, many.scores[:3], rtol=1e-4, atol=1e-5)
            assert [set(row) for row in few.ids()] == [set(row) for row in many.ids()[:3]]


@pytest.mark.parametrize("kind", ["bpr", "logistic-mf"])
def test_items_with_a_bias_of_their_own_are_looked_up_with_it(kind: str) -> None:
    exact = trained(kind, iterations=10)
    indexed = exact.indexed(recall=1.0)
    assert np.abs(exact.item_bias).max() > 0.05  # type: ignore[attr-defined]
    candidates = exact.items.decode(np.arange(0, 1500, 100))
    for user in exact.users.decode(np.arange(0, 300, 30)):
        for only in (None, candidates):
            ours, theirs = (model.recommend([user], 10, candidates=only) for model in (indexed, exact))
            np.testing.assert_allclose(ours.scores, theirs.scores, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("share", [0.01, 0.5])
def test_where_few_items_are_allowed_none_is_missed(exact: FactorModel, indexed: FactorModel, share: float) -> None:
    chosen = np.random.default_rng(1).permutation(1500)[: int(share * 1500)]
    candidates = exact.items.decode(chosen)
    others = [[item for item in exact.items.decode(np.arange(1500)) if item not in set(candidates)]]
    for user in exact.users.decode(np.arange(0, 300, 50)):
        expected = exact.recommend([user], 15, candidates=candidates, exclude=None).ids()
        assert indexed.recommend([user], 15, candidates=candidates, exclude=None).ids() == expected
        assert indexed.recommend([user], 15, exclude=others).ids() == expected
    assert indexed.recommend([user], 3, candidates=[]).ids() == [[]]


def test_less_recall_looks_at_less(exact: FactorModel) -> None:
    made = exact.indexed(recall=0.9)
    assert isinstance(made.index, Clusters)
    assert made.index.caution < 1
    hits = [
        len(set(made.recommend([user], 20).ids()[0]) & set(exact.recommend([user], 20).ids()[0])) / 20
        for user in exact.users.decode(np.arange(100))
    ]
    assert np.mean(hits) > 0.85


def test_the_command_writes_a_bundle_that_has_it(exact: FactorModel, tmp_path: Path) -> None:
    write_bundle(exact, tmp_path / "plain", metrics={"ndcg": 0.5})
    asked = [str(tmp_path / "plain"), "-o", str(tmp_path / "fast"), "--form", "index", "--recall", "1"]
    done = CliRunner().invoke(command, asked)
    assert done.exit_code == 0, done.output
    model = load_recommender(tmp_path / "fast")
    assert isinstance(model, FactorModel)
    assert isinstance(model.index, Clusters)
    assert model.recommend(["u007"], 10).ids() == exact.recommend(["u007"], 10).ids()
    again = CliRunner().invoke(command, [str(tmp_path / "nothing"), "-o", str(tmp_path / "fast")])
    assert "never changed" in str(again.exception), "told before anything is read"


def test_what_has_no_factors_is_refused(exact: FactorModel, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="recall"):
        exact.indexed(recall=0)
    one = Interactions(IdMap(["a"]), IdMap(["x"]), np.array([0], np.int32), np.array([0], np.int32))
    popularity, graph = (make_recommender(kind).fit(one) for kind in ("popularity", "graph-filter"))
    for model, said in ((popularity, "ranked already"), (PCA([[1.0, 0.0]]), "ranks no items"), (graph, "als, ials")):
        write_bundle(model, tmp_path / model.kind)
        done = CliRunner().invoke(command, [str(tmp_path / model.kind), "-o", str(tmp_path / "fast")])
        assert f"the kind {model.kind} do not score by factors" in str(done.exception)
        assert said in str(done.exception)
    assert all(kind in KINDS and not issubclass(artifact_class(kind), FactorModel) for kind in _INSTEAD)


def test_a_model_that_learns_anew_has_no_index_of_what_it_learned_before(exact: FactorModel) -> None:
    users, items = exact.users.decode(np.arange(40)), exact.items.decode(np.arange(60))
    ids = IdMap(users), IdMap(items)
    pairs = np.random.default_rng(2).permutation(2400)[:600].astype(np.int32)
    fewer = Interactions(*ids, pairs // 60, pairs % 60)
    for made in (exact.indexed(), exact.compacted()):
        assert made.index is not None
        made.fit(fewer)
        assert made.recommend(users[:3], 5).ids() == made.plain().recommend(users[:3], 5).ids()
        assert made.index is None
