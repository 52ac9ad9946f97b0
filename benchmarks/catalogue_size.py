"""`python -m benchmarks.catalogue_size`: how long one user's best 20 take, by how many items there are to choose from.

The forms of `palate compile` (the factors themselves, float16, int8, an index) and what faiss has for the same (an
inverted file, a graph) answer the same queries by turns, one at a time in one thread; each query's least of two times
counts. The index, and faiss's two, are set to find 99.5 % of the true best of other queries; recall is measured. Three
kinds of factors: in groups, of a trained model, and noise (see `benchmarks.item_index`).

Written: docs/images/catalogue.svg, and the figures beside results.json; a table of the largest size is printed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from benchmarks import charts
from benchmarks.item_index import WIDTH, N, clustered, gaussian, trained
from palate.kernels.clusters import Clusters, search
from palate.kernels.compact import FORMS, Compact, may_be_best
from palate.kernels.top_n import Targets, best_of, top_n

Floats = npt.NDArray[np.float32]
Answer = Callable[[Floats], npt.NDArray[Any]]

SIZES = (1_000, 10_000, 100_000, 1_000_000)
STYLES = {
    "exact": (charts.GREY, "o-"),
    "float16": (charts.LIGHT_TEAL, "o-"),
    "int8": (charts.TEAL, "o-"),
    "index": (charts.RUST, "s-"),
    "faiss IVF": (charts.VIOLET, "^--"),
    "faiss HNSW": (charts.SAND, "v--"),
}
"""Colour and line of each form."""
RECALL = 0.995
KINDS: dict[str, Callable[[int, int, np.random.Generator, bool], tuple[Floats, Floats]]] = {
    "groups": lambda items, queries, random, quick: clustered(items, queries, random),
    "trained": trained,
    "noise": lambda items, queries, random, quick: gaussian(items, queries, random),
}
"""Items and queries: how many of each; whether tiny."""
TITLES = {"groups": "in 500 groups", "trained": "of a trained model", "noise": "noise"}
_LEARNED, _ASKED, _ROUNDS = 500, 200, 2


@dataclass(frozen=True)
class Point:
    """What one form came to. seconds: of an answer, in the median and in 99 of 100. bytes: None where it is unknown."""

    factors: str
    items: int
    form: str
    p50: float
    p99: float
    recall: float
    bytes: int | None
    made: float


@dataclass(frozen=True)
class Contestant:
    name: str
    answer: Answer
    bytes: int | None
    made: float


def exact(items: Floats, _: Floats) -> Contestant:
    """Sorted by length, as a model of this size is in memory."""
    targets = Targets.of(items)
    return Contestant("exact", lambda query: best_of(query, targets, N)[0], items.nbytes, 0.0)


def rounded(items: Floats, form: Any) -> Contestant:
    made = Compact.of(items, form)

    def answer(query: Floats) -> npt.NDArray[Any]:
        few = may_be_best(query, made, N)
        return few[np.argsort(-(items[few] @ query), kind="stable")[:N]]

    return Contestant(form, answer, made.blocks.nbytes + 16 * len(made.order), 0.0)


def index(items: Floats, learned: Floats) -> Contestant:
    made = Clusters.of(items).calibrated(learned, N, RECALL)
    return Contestant("index", lambda query: search(query[None], made, N)[0][0], made.factors.nbytes, 0.0)


def inverted_file(items: Floats, learned: Floats) -> Contestant:
    """faiss's IVF with √items lists, by the least number of lists looked through that suffices."""
    import faiss

    lists = max(1, math.isqrt(len(items)))
    made = faiss.IndexIVFFlat(faiss.IndexFlatIP(WIDTH), WIDTH, lists, faiss.METRIC_INNER_PRODUCT)
    made.train(items[: 40 * lists])
    made.add(items)

    def found(queries: Floats) -> npt.NDArray[Any]:
        return made.search(queries, N)[1]  # type: ignore[no-any-return]

    _set(made, "nprobe", [2**step for step in range(20) if 2**step < lists] + [lists], items, learned, found)
    return Contestant("faiss IVF", lambda query: found(query[None])[0], items.nbytes, 0.0)


def graph(items: Floats, learned: Floats) -> Contestant:
    """faiss's HNSW of 32 neighbours (M=16), by the least breadth of search that suffices.

    A graph is walked by distances, and inner products are none: the item that goes best with a query may be the
    nearest of no other. So each item gets one coordinate more, which makes all as long as the longest, and a query a
    zero: the nearest are then those of the largest inner products (Bachrach et al., RecSys 2014).
    """
    import faiss

    made = faiss.IndexHNSWFlat(WIDTH + 1, 16)
    made.hnsw.efConstruction = 40
    made.add(lengthened(items))

    def nearest(queries: Floats) -> npt.NDArray[Any]:
        return made.search(np.pad(queries, ((0, 0), (0, 1))), N)[1]  # type: ignore[no-any-return]

    _set(made.hnsw, "efSearch", [2**step for step in range(5, 13)], items, learned, nearest)
    return Contestant("faiss HNSW", lambda query: nearest(query[None])[0], None, 0.0)


def lengthened(items: Floats) -> Floats:
    """`(n, WIDTH + 1)`: with a last coordinate by which all have the length of the longest."""
    squares = np.einsum("ij,ij->i", items, items, dtype=np.float64)
    return np.column_stack([items, np.sqrt(squares.max() - squares)]).astype(np.float32)


def _set(holder: Any, name: str, values: list[int], items: Floats, learned: Floats, found: Answer) -> None:
    """The least of the values with which the learned queries find enough; the last where none does."""
    true = top_n(learned, Targets.of(items), N)[0]
    for value in values:
        setattr(holder, name, value)
        if _recall(found(learned), true) >= RECALL:
            return


def _recall(found: npt.NDArray[Any], true: npt.NDArray[Any]) -> float:
    hits = sum(len(np.intersect1d(a[a >= 0], b)) for a, b in zip(found, true, strict=True))
    return hits / true.size


def contestants(items: Floats, learned: Floats, peers: bool) -> Iterator[Contestant]:
    makers: list[Callable[[], Contestant]] = [
        lambda: exact(items, learned),
        *(lambda form=form: rounded(items, form) for form in reversed(FORMS)),
        lambda: index(items, learned),
    ]
    if peers:
        makers += [lambda: inverted_file(items, learned), lambda: graph(items, learned)]
    for make in makers:
        began = time.perf_counter()
        made = make()
        yield Contestant(made.name, made.answer, made.bytes, time.perf_counter() - began)


def measure(name: str, items: Floats, queries: Floats, peers: bool) -> list[Point]:
    from threadpoolctl import threadpool_limits

    learned, asked = queries[:_LEARNED], queries[_LEARNED:]
    held = list(contestants(items, learned, peers))
    true = top_n(asked, Targets.of(items), N)[0]
    with threadpool_limits(1):
        found = {each.name: np.stack([each.answer(query) for query in asked]) for each in held}
        times = {each.name: np.full(len(asked), np.inf) for each in held}
        for _ in range(_ROUNDS):
            for row, query in enumerate(asked):
                for each in held:
                    began = time.perf_counter()
                    each.answer(query)
                    times[each.name][row] = min(times[each.name][row], time.perf_counter() - began)
    return [
        Point(
            name,
            len(items),
            each.name,
            p50=_short(np.quantile(times[each.name], 0.5)),
            p99=_short(np.quantile(times[each.name], 0.99)),
            recall=round(_recall(found[each.name], true), 4),
            bytes=each.bytes,
            made=round(each.made, 2),
        )
        for each in held
    ]


def _short(value: Any) -> float:
    return float(f"{value:.4g}")


def draw(points: list[Point]) -> None:
    """Milliseconds against items, both on logarithmic scales: the median above, 99 of 100 below."""
    kinds = list(dict.fromkeys(point.factors for point in points))
    with charts.chart("catalogue", 2, len(kinds), (3.4 * len(kinds), 5.6), sharex=True, sharey=True) as axes:
        for column, kind in enumerate(kinds):
            for form, (color, line) in STYLES.items():
                found = [point for point in points if (point.factors, point.form) == (kind, form)]
                for axis, name in ((axes[0][column], "p50"), (axes[1][column], "p99")):
                    times = [1000 * getattr(point, name) for point in found]
                    axis.loglog([point.items for point in found], times, line, color=color, label=form, markersize=4)
            axes[0][column].set_title(TITLES[kind])
            axes[1][column].set_xlabel("items")
        axes[0][0].set_ylabel("ms, median")
        axes[1][0].set_ylabel("ms, 99 of 100")
        charts.legend(axes[0][0])


def table(points: list[Point]) -> str:
    """The largest size in Markdown."""
    rows = ["| factors | form | median | 99 of 100 | recall@20 | made in |", "|---|---|---|---|---|---|"]
    for point in points:
        if point.items == max(each.items for each in points):
            rows.append(
                f"| {TITLES[point.factors]} | {point.form} | {1000 * point.p50:.3g} ms | {1000 * point.p99:.3g} ms | "
                f"{point.recall:.4f} | {point.made:.1f} s |"
            )
    return "\n".join(rows)


@click.command()
@click.option("--quick", is_flag=True, help="Two tiny sizes, nothing written: shows that it runs.")
@click.option("--most", type=click.IntRange(1_000), default=SIZES[-1], show_default=True, help="The largest catalogue.")
@click.option(
    "--peers", type=click.IntRange(0), default=100_000, show_default=True, help="The largest with faiss beside it."
)
@click.option(
    "--factors",
    "chosen",
    type=click.Choice(list(KINDS)),
    multiple=True,
    help="Only these; the chart keeps what an earlier run measured of the others.",
)
def main(quick: bool, most: int, peers: int, chosen: tuple[str, ...]) -> None:
    """Measure how long an answer takes by the size of the catalogue, and draw it."""
    found: dict[str, list[Point]] = {}
    for name in chosen or KINDS:
        random = np.random.default_rng(0)
        for size in (500, 1000) if quick else [size for size in SIZES if size <= most]:
            items, queries = KINDS[name](size, _LEARNED + (10 if quick else _ASKED), random, quick)
            for point in measure(name, items, queries, size <= peers):
                found.setdefault(name, []).append(point)
                click.echo(
                    f"{name}, {size:,} items, {point.form}: {1000 * point.p50:.3g} ms, {1000 * point.p99:.3g} ms in 99 "
                    f"of 100, recall {point.recall:.4f}, made in {point.made:.1f} s"
                )
    if quick:
        return
    before = [Point(**row) for row in charts.kept("catalogue")] if chosen else []
    points = [point for name in KINDS for point in found.get(name, [each for each in before if each.factors == name])]
    charts.keep("catalogue", points)
    click.echo(table(points))
    draw(points)


if __name__ == "__main__":
    main()
