"""Where k-means starts: k of the rows, drawn so that they lie apart.

    random        k rows by weight
    k-means++     one after the other by squared distance, the best of a few draws each (Arthur & Vassilvitskii 2007)
    k-means||     some 2k at once, by squared distance, in a few rounds; k-means++ and Lloyd among those, each weighing
                  as much as the rows it is closest to (Bahmani et al. 2012, "Scalable k-means++")

Fewer different rows than k give as many centres as there are. Rows of no weight are never drawn.
"""

from __future__ import annotations

import math

import numpy as np

from palate.kernels.lloyd import Doubles, Rows, lloyd, weighted
from palate.kernels.peers import Alone, Peers

MODES = ("k-means||", "random", "k-means++")
_AMONG_CANDIDATES = 30
"""Lloyd's iterations among the candidates of k-means||, as many as MLlib takes."""


def start(
    rows: Rows, k: int, mode: str, *, steps: int = 2, seed: tuple[int, ...] = (0,), peers: Peers | None = None
) -> Doubles:
    """At most k different centres `(<= k, width) float64` about the rows' shift; the same in all peers.

    steps: rounds of k-means||; more are taken as long as they found fewer than k different rows and there are more.
    """
    peers = peers or Alone()
    own, shared = np.random.default_rng([*seed, 1 + peers.rank]), np.random.default_rng([*seed, 0])
    if mode == "random":
        return _random(rows, k, own, peers)
    if mode == "k-means++":
        return _plusplus(rows, k, own, shared, peers)
    return _parallel(rows, k, steps, own, shared, peers)


def _random(rows: Rows, k: int, own: np.random.Generator, peers: Peers) -> Doubles:
    """The k smallest of exponential draws at the rate of the weights: a draw without replacement."""
    drawable = np.flatnonzero(rows.weights > 0)
    keys = own.exponential(size=len(drawable)) / rows.weights[drawable]
    least = np.argsort(keys, kind="stable")[:k]
    parts = peers.gather((keys[least], rows.take(drawable[least])))
    order = np.argsort(np.concatenate([part[0] for part in parts]), kind="stable")[:k]
    return _different(np.concatenate([part[1] for part in parts])[order])


def _different(points: Doubles) -> Doubles:
    """Each point once, in the order of their first appearances."""
    _, first = np.unique(points, axis=0, return_index=True)
    return points[np.sort(first)]


def _plusplus(rows: Rows, k: int, own: np.random.Generator, shared: np.random.Generator, peers: Peers) -> Doubles:
    centers = _random(rows, 1, own, peers)
    distances = rows.visit(centers).distances
    trials = 2 + int(math.log(k))
    while len(centers) < k:
        points = _draw(rows, rows.weights * distances, trials, shared, peers)
        if points is None:
            break
        point = points[[int(np.argmin(peers.sum(rows.potentials(points, distances))))]]
        distances = np.minimum(distances, rows.visit(point).distances)
        centers = np.concatenate([centers, point])
    return centers


def _draw(rows: Rows, masses: Doubles, m: int, shared: np.random.Generator, peers: Peers) -> Doubles | None:
    """m rows of all peers, with replacement, with chances as `masses`; None if there is no mass."""
    running = np.cumsum(masses)
    totals = np.zeros(peers.size)
    totals[peers.rank] = running[-1] if len(running) else 0.0
    bounds = np.concatenate([[0.0], np.cumsum(peers.sum(totals))])
    if bounds[-1] <= 0:
        return None
    drawn = np.minimum(shared.random(m) * bounds[-1], np.nextafter(bounds[-1], 0))
    owners = np.searchsorted(bounds, drawn, side="right") - 1
    points = np.zeros((m, len(rows.shift)))
    mine = owners == peers.rank
    if mine.any():
        places = np.searchsorted(running, drawn[mine] - bounds[peers.rank], side="right")
        points[mine] = rows.take(np.minimum(places, np.flatnonzero(masses)[-1]))
    return peers.sum(points)


def _parallel(
    rows: Rows, k: int, steps: int, own: np.random.Generator, shared: np.random.Generator, peers: Peers
) -> Doubles:
    candidates = _random(rows, 1, own, peers)
    found = rows.visit(candidates)
    distances, closest = found.distances, found.labels
    step = 0
    while step < steps or len(candidates) < k:
        masses = rows.weights * distances
        total = float(peers.sum(np.array([masses.sum()]))[0])
        if total <= 0:  # every row is a candidate, or the same as one
            break
        chosen = np.flatnonzero(own.random(len(rows)) < masses * (2 * k / total))
        points = _different(np.concatenate(peers.gather(rows.take(chosen))))
        if len(points):
            found = rows.visit(points)
            closer = found.distances < distances
            distances = np.where(closer, found.distances, distances)
            closest = np.where(closer, found.labels + np.int32(len(candidates)), closest)
            candidates = np.concatenate([candidates, points])
        step += 1
    weights = peers.sum(np.bincount(closest, rows.weights, minlength=len(candidates)))
    if len(candidates) <= k:
        return candidates
    chosen_centers = None
    if peers.rank == 0:  # one peer's arithmetic for all
        few = weighted(candidates, weights, rows)
        first = _plusplus(few, k, shared, shared, Alone())
        chosen_centers = lloyd(few, first, iterations=_AMONG_CANDIDATES, tolerance=0.0).centers
    centers: Doubles = peers.gather(chosen_centers)[0]
    return centers
