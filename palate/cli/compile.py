"""`palate compile`: a bundle with an index of its items, where they are too many to look at all of them each time."""

from __future__ import annotations

import time
from pathlib import Path

import click
import numpy as np

from palate.bundle import load_recommender, read_manifest, require_free, write_bundle
from palate.dataset.ids import Id
from palate.errors import CapabilityError
from palate.models.protocol import Recommender

_N = 20
_USERS = 200


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help="Where the new bundle goes.")
@click.option(
    "--recall",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.995,
    show_default=True,
    help=f"The share of the true best {_N} that the index has to find, on average over users.",
)
@click.option("--clusters", type=click.IntRange(1), help="How many; the square root of the items unless told.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
def compile(bundle: Path, output: Path, recall: float, clusters: int | None, seed: int) -> None:
    """Give the factor model in BUNDLE (als, ials, bpr, logistic-mf) an index of its items.

    Answers to single users then look through the clusters of items that can hold something good, in place of all of
    them. How far they look is learned on users of the model; recall and times are measured on others, if there are.
    """
    from palate.models.factorization import CALIBRATING, FactorModel

    require_free(output)
    model = load_recommender(bundle)
    if not isinstance(model, FactorModel):
        raise CapabilityError(
            f"a {model.kind} model has no item factors to index.", hint="als, ials, bpr and logistic-mf have."
        )
    started = time.perf_counter()
    made = model.indexed(recall, _N, clusters, seed)
    took = time.perf_counter() - started
    before = read_manifest(bundle)
    write_bundle(made, output, metrics=before.metrics, lineage=before.lineage)
    click.echo(f"{output}: {len(made.items):,} items indexed in {took:.1f} s.")
    known = made.shuffled_users(seed)
    others = known[CALIBRATING:] if len(known) > CALIBRATING else known
    users = made.users.decode(others[:_USERS])
    exact, fast = (_timed(each, users) for each in (model, made))
    hits = [len(set(a) & set(b)) / max(1, len(b)) for a, b in zip(fast[0], exact[0], strict=True)]
    click.echo(f"recall@{_N} of {len(users)} users: {np.mean(hits):.4f}")
    for name, (_, times) in (("with the index", fast), ("all items", exact)):
        middle, last = np.quantile(times, [0.5, 0.99]) * 1000
        click.echo(f"{name}: {middle:.2f} ms in the median, {last:.2f} ms in 99 of 100")


def _timed(model: Recommender, users: list[Id]) -> tuple[list[list[Id]], list[float]]:
    """What each user gets, and the seconds it took; one before to warm up does not count."""
    found, times = [], []
    for user in [users[0], *users]:
        started = time.perf_counter()
        found.append(model.recommend([user], _N, exclude=None).ids()[0])
        times.append(time.perf_counter() - started)
    return found[1:], times[1:]
