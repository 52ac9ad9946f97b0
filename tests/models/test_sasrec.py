"""SASRec: order counts, numpy answers as torch learned, and training that goes wrong says so."""

from __future__ import annotations

import logging
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.bundle import write_bundle
from palate.dataset.ids import IdMap
from palate.dataset.schema import Interactions
from palate.engines import import_torch
from palate.errors import MissingDependencyError, ParameterError, SchemaError
from palate.evaluation.cold import evaluate_cold
from palate.kernels.attention import Weights, encode
from palate.models.sasrec import SASRec
from palate.models.sasrec_training import forward
from palate.models.sequences import Ordered

N_ITEMS = 30
QUICK = {"factors": 16, "blocks": 1, "dropout": 0.1, "learning_rate": 0.01, "batch": 32, "patience": 0, "epochs": 25}


def walks(n_users: int = 120, length: int = 8, seed: int = 0) -> Interactions:
    """Each user starts somewhere on a ring of items and goes on to the next, now and then over one."""
    random = np.random.default_rng(seed)
    steps = np.where(random.random((n_users, length)) < 0.1, 2, 1)
    items = (random.integers(0, N_ITEMS, (n_users, 1)) + np.cumsum(steps, axis=1)) % N_ITEMS
    users = np.repeat(np.arange(n_users), length).astype(np.int32)
    times = np.tile(np.arange(length), n_users).astype(np.int64) * 60
    ids = IdMap(np.arange(n_users)), IdMap(np.arange(N_ITEMS))
    return Interactions(*ids, users, items.ravel().astype(np.int32), None, times)


@cache
def walker() -> SASRec:
    return SASRec(**QUICK).fit(walks())


def after(model: SASRec, *history: int) -> list[object]:
    return model.recommend(model.fold_in_users([list(history)]), 2).ids()[0]


# -- what it learns ----------------------------------------------------------------------------------------------------


def test_the_next_item_follows_from_the_order() -> None:
    hits = [(start + 3) % N_ITEMS in after(walker(), *(np.arange(start, start + 3) % N_ITEMS)) for start in range(30)]
    assert sum(hits) >= 28
    assert after(walker(), 12, 11, 10) != after(walker(), 10, 11, 12)


def test_many_items_are_stood_for_by_drawn_ones() -> None:
    model = SASRec(**QUICK, negatives=10).fit(walks())
    hits = [(start + 3) % N_ITEMS in after(model, *(np.arange(start, start + 3) % N_ITEMS)) for start in range(30)]
    assert sum(hits) >= 25


def test_times_give_the_order_and_without_them_the_rows_do() -> None:
    data = walks(20)
    shuffled = data.take(np.random.default_rng(1).permutation(len(data)))
    by_row = Interactions(data.users, data.items, data.user_codes, data.item_codes)
    first, second = (SASRec(**QUICK | {"epochs": 2}).fit(each) for each in (shuffled, by_row))
    np.testing.assert_array_equal(first.user_factors, second.user_factors)
    folded = [first.fold_in_users(each).vectors[0] for each in (shuffled, by_row, data)]
    for vectors in folded:
        np.testing.assert_allclose(vectors, first.user_factors, rtol=1e-4, atol=1e-5)


def test_users_who_are_new_are_folded_in_by_time() -> None:
    data = walks()
    shuffled = data.take(np.random.default_rng(1).permutation(len(data)))
    found = evaluate_cold(SASRec(**QUICK), shuffled, "users", ks=(5,))
    assert found.metrics["hit_rate@5"] > 0.9


def test_only_the_latest_items_count() -> None:
    model = SASRec(**QUICK | {"epochs": 1, "length": 3}).fit(walks(20))
    long, short = (model.fold_in_users([history]).vectors[0] for history in ([9, 5, 1, 2, 3], [1, 2, 3]))
    np.testing.assert_allclose(long, short, atol=1e-5)


def test_in_random_order_nothing_can_be_learned_of_the_order() -> None:
    model = SASRec(**QUICK, shuffle=1.0).fit(walks())
    hits = [(start + 3) % N_ITEMS == after(model, *(np.arange(start, start + 3) % N_ITEMS))[0] for start in range(30)]
    assert sum(hits) < 25


def test_training_stops_when_it_gains_nothing_on_last_items() -> None:
    model = SASRec(**QUICK | {"patience": 2, "epochs": 200}).fit(walks())
    assert 1 <= model.trained["epochs"] < 200


@pytest.mark.parametrize(("heads", "blocks"), [(1, 1), (4, 2)])
def test_numpy_says_what_torch_says(heads: int, blocks: int) -> None:
    torch, random = import_torch(), np.random.default_rng(0)
    weights = Weights(
        *(random.normal(size=a.shape).astype(np.float32) / 3 for a in vars(Weights.zeros(16, blocks, 12)).values())
    )
    items = random.normal(size=(40, 16)).astype(np.float32)
    histories = random.integers(0, 40, (700, 12)).astype(np.int32)
    lengths = random.integers(0, 13, 700)
    histories[np.arange(12) >= lengths[:, None]] = -1
    held = {name: torch.tensor(array) for name, array in {"items": items, **weights.arrays()}.items()}
    states = forward(torch, held, torch.from_numpy(histories).long(), heads).numpy()
    expected = states[np.arange(700), lengths - 1]
    expected[lengths == 0] = 0
    np.testing.assert_allclose(encode(weights, items, histories, heads), expected, atol=1e-4)


@given(
    st.lists(st.lists(st.integers(0, 9), max_size=12), min_size=1, max_size=8), st.integers(1, 5), st.integers(0, 99)
)
def test_windows_cover_each_item_that_has_a_next_one_once(lists: list[list[int]], length: int, seed: int) -> None:
    histories = Ordered.of_lists(lists, IdMap(np.arange(10)))
    starts, lengths = histories.windows(length, np.random.default_rng(seed))
    assert ((lengths >= 1) & (lengths <= length)).all()
    met = [start + step for start, n in zip(starts, lengths, strict=True) for step in range(n)]
    ends = set((histories.starts[1:] - 1).tolist())
    assert sorted(met) == [place for place in range(len(histories.codes)) if place not in ends]


# -- what can go wrong -------------------------------------------------------------------------------------------------


def test_diverging_training_keeps_the_best_state_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    values = QUICK | {"learning_rate": 0.6, "batch": 10_000, "epochs": 12}  # a pass is one step
    with caplog.at_level(logging.WARNING, "palate.models"):
        model = SASRec(**values).fit(walks(20))
    assert model.trained["diverged"]
    assert "diverged after" in caplog.text
    assert 1 <= model.trained["epochs"] < 12
    assert np.isfinite(model.recommend([0], 5).scores).all()


def test_training_that_diverges_at_once_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"sasrec\.learning_rate: training diverged in its first pass"):
        SASRec(**QUICK | {"learning_rate": 1e18, "batch": 2}).fit(walks(20))


def test_histories_of_one_item_teach_nothing() -> None:
    model = SASRec().fit(Interactions.from_ids(["a", "b", "c"], ["x", "x", "y"]))
    found = model.recommend(["c", "nobody"], 2)
    assert not found.personal.any()
    assert found.ids() == [["x"], ["x", "y"]]


def test_what_has_no_weight_is_no_history() -> None:
    data = walks(20)
    weights = np.ones(len(data), np.float32)
    weights[::8] = 0  # the first item of each
    some = Interactions(data.users, data.items, data.user_codes, data.item_codes, weights, data.timestamps)
    rest = data.take(weights > 0)
    first, second = (SASRec(**QUICK | {"epochs": 1}).fit(each) for each in (some, rest))
    np.testing.assert_array_equal(first.user_factors, second.user_factors)
    with pytest.raises(SchemaError, match="weight above zero"):
        SASRec().fit(Interactions(data.users, data.items, data.user_codes, data.item_codes, 0 * weights))


def test_heads_share_the_factors_evenly() -> None:
    with pytest.raises(ParameterError, match=r"sasrec\.heads: it must divide factors"):
        SASRec(factors=10, heads=3)


def test_training_without_torch_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingDependencyError, match=r"palate\[torch\]"):
        SASRec().fit(walks(5))


def test_answers_need_no_torch(tmp_path: Path) -> None:
    model = walker()
    write_bundle(model, tmp_path / "bundle")
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from palate.bundle import load_bundle\n"
        f"model = load_bundle({str(tmp_path / 'bundle')!r})\n"
        "print(model.recommend(model.fold_in_users([[4, 5, 6]]), 3).ids()[0])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == str(model.recommend(model.fold_in_users([[4, 5, 6]]), 3).ids()[0])
