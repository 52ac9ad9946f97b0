"""Which form of a factor model answers soonest: measured on users of its own, and written where others can read it.

Forms: `exact` looks at all factors; `float16` and `int8` look at rounded ones, and rank by the true ones what may be
among the best (`palate.kernels.compact`); `index` looks through clusters (`palate.kernels.clusters`), as cautiously as
the recall that is asked for takes. A measured answer is what a request takes: one user's best N, without what they have
seen.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from palate.errors import ParameterError
from palate.kernels.clusters import Clusters
from palate.kernels.compact import FORMS as ROUNDED
from palate.models.factorization import CALIBRATING, FactorModel

FORMS = ("exact", *reversed(ROUNDED), "index")
By = Literal["p50", "p99"]

N = 20
_USERS, _ROUNDS = 200, 3
_WORTH = 0.9
"""Another form is taken where it takes no more than this share of the time of `exact`, which costs nothing."""
_MORE_CAUTION = 0.05


@dataclass(frozen=True)
class Measured:
    """What a form came to. recall: the share of the true best N found, over the users. p50_ms, p99_ms: of an answer, by
    the quantiles over users. bytes: what the form adds to the bundle. made_seconds: what it took to make."""

    form: str
    recall: float
    p50_ms: float
    p99_ms: float
    bytes: int
    made_seconds: float


@dataclass(frozen=True)
class Report:
    """What was asked, what was measured, and what was chosen of it; as a manifest's lineage keeps it."""

    chosen: str
    why: str
    n: int
    users: int
    recall: float
    by: By
    memory: int | None
    measured: tuple[Measured, ...]

    def plain(self) -> dict[str, Any]:
        return {**asdict(self), "measured": [asdict(each) for each in self.measured]}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Report:
        """What `plain` gave."""
        return cls(**{**plain, "measured": tuple(Measured(**each) for each in plain["measured"])})

    def lines(self) -> list[str]:
        """A table for people, a line each."""
        found = [f"{'form':<9}{'recall@' + str(self.n):>10}{'median':>12}{'99 of 100':>12}{'adds':>12}{'made in':>10}"]
        for each in self.measured:
            mark = "*" if each.form == self.chosen else " "
            found.append(
                f"{each.form + mark:<9}{each.recall:>10.4f}{each.p50_ms:>9.3f} ms{each.p99_ms:>9.3f} ms"
                f"{each.bytes / 1e6:>9.1f} MB{each.made_seconds:>8.1f} s"
            )
        return [*found, f"{self.chosen}: {self.why}"]


def compiled(
    model: FactorModel,
    forms: Sequence[str] = FORMS,
    *,
    recall: float = 0.995,
    memory: int | None = None,
    by: By = "p99",
    clusters: int | None = None,
    seed: int = 0,
) -> tuple[FactorModel, Report]:
    """The model in the form that answers soonest, and what was measured.

    forms: the candidates; of one alone it is that one, if it may be. recall: what an index has to reach on average over
    users, in (0, 1]. memory: the bytes that a form may add; None: as many as it takes. by: which time has to be least.
    clusters: of an index, √items unless told. seed: of the sample of users, and of the clusters.

    The rule: of the candidates that reach the recall and add no more than `memory`, the one with the least time; and
    `exact`, which adds nothing, unless that is at least a tenth faster. Raises ParameterError for values out of range,
    a model none of whose users has factors, and where no candidate may be.
    """
    _require(forms, recall, memory, by)
    plain = model.plain()
    known = plain.shuffled_users(seed)
    if not len(known):
        raise ParameterError("none of its users has factors: there is nobody to measure answers for.", where="model")
    # An index learns from the first of them: it is measured on others, if there are.
    users = (known[CALIBRATING:] if len(known) > CALIBRATING else known)[:_USERS]
    made: dict[str, tuple[FactorModel, float]] = {"exact": (plain, 0.0)}
    for form in forms:
        if form != "exact":
            began = time.perf_counter()
            candidate = _made(plain, form, users, recall, clusters, seed)
            made[form] = candidate, time.perf_counter() - began
    times = _times({form: each for form, (each, _) in made.items()}, users)
    found = tuple(
        Measured(
            form,
            recall=round(_recall(plain, each, users), 6),
            p50_ms=round(1000 * float(np.quantile(times[form], 0.5)), 4),
            p99_ms=round(1000 * float(np.quantile(times[form], 0.99)), 4),
            bytes=_added(each),
            made_seconds=round(took, 3),
        )
        for form, (each, took) in made.items()
    )
    chosen, why = _choice(found, forms, recall, memory, by)
    return made[chosen][0], Report(chosen, why, N, len(users), recall, by, memory, found)


def _require(forms: Sequence[str], recall: float, memory: int | None, by: str) -> None:
    if not forms or not set(forms) <= set(FORMS):
        raise ParameterError(f"must be of {', '.join(FORMS)}, not {', '.join(forms) or 'nothing'}.", where="forms")
    if not 0 < recall <= 1:
        raise ParameterError(f"must be above 0 and at most 1, not {recall:g}.", where="recall")
    if memory is not None and memory < 0:
        raise ParameterError(f"must not be below 0, as {memory} is.", where="memory")
    if by not in ("p50", "p99"):
        raise ParameterError(f"must be p50 or p99, not {by!r}.", where="by")


def _made(
    plain: FactorModel, form: str, users: npt.NDArray[np.intp], recall: float, clusters: int | None, seed: int
) -> FactorModel:
    if form in ROUNDED:
        return plain.compacted(form)
    made = plain.indexed(recall, N, clusters, seed)
    while isinstance(made.index, Clusters) and made.index.caution < 1 and _recall(plain, made, users) < recall:
        caution = min(1.0, made.index.caution + _MORE_CAUTION)  # others ask for more than those it learned from
        made.index = replace(made.index, caution=caution)
    return made


def _answer(model: FactorModel, user: int, barred: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.float32], float]:
    """The scores of a user's best, and the seconds it took. barred: all False, and so again afterwards."""
    seen = model.seen.indices[model.seen.indptr[user] : model.seen.indptr[user + 1]]
    barred[seen] = True
    began = time.perf_counter()
    found = model.best(user, N, barred)
    took = time.perf_counter() - began
    barred[seen] = False
    return np.zeros(0, np.float32) if found is None else found[1], took


def _times(made: Mapping[str, FactorModel], users: npt.NDArray[np.intp]) -> dict[str, npt.NDArray[np.float64]]:
    """Seconds of each user's answer, the least of some rounds. The forms take turns, so that whatever else the machine
    does hits them alike; a first answer, which may have to compile, does not count."""
    barred = np.zeros(len(next(iter(made.values())).items), bool)
    for model in made.values():
        _answer(model, int(users[0]), barred)
    found: dict[str, npt.NDArray[np.float64]] = {form: np.full(len(users), np.inf) for form in made}
    for _ in range(_ROUNDS):
        for at, user in enumerate(users):
            for form, model in made.items():
                found[form][at] = min(found[form][at], _answer(model, int(user), barred)[1])
    return found


def _recall(plain: FactorModel, other: FactorModel, users: npt.NDArray[np.intp]) -> float:
    """The share of the true best N that the other finds; what scores as the last of them, to rounding, is as good."""
    hits = true = 0
    barred = np.zeros(len(plain.items), bool)
    for user in map(int, users):
        best, found = (_answer(model, user, barred)[0] for model in (plain, other))
        if len(best):
            true += len(best)
            hits += min(len(best), int((found >= best[-1] - 1e-5 * np.abs(best).max()).sum()))
    return hits / true if true else 1.0


def _added(model: FactorModel) -> int:
    """Bytes of what the form adds to the arrays of a bundle."""
    arrays = model.to_arrays().arrays
    return sum(int(each.nbytes) for name, each in arrays.items() if name.startswith("index."))


def _choice(
    found: Sequence[Measured], forms: Sequence[str], recall: float, memory: int | None, by: By
) -> tuple[str, str]:
    """The form by the rule of `compiled`, and why."""
    may = [
        each
        for each in found
        if each.form in forms and each.recall >= recall and (memory is None or each.bytes <= memory)
    ]
    if not may:
        least = min(each.bytes for each in found if each.form in forms)
        raise ParameterError(
            f"none of {', '.join(forms)} adds so little: the smallest takes {least / 1e6:.1f} MB.",
            where="memory",
            hint="Allow more, or let `exact` be one of the forms.",
        )
    fastest = min(may, key=lambda each: getattr(each, f"{by}_ms"))
    exact = next((each for each in may if each.form == "exact"), None)
    time_of = "the median" if by == "p50" else "99 of 100"
    if len(forms) == 1:
        return fastest.form, "the form that was asked for."
    if exact is None or fastest is exact:
        return fastest.form, f"the least time in {time_of}."
    times = getattr(exact, f"{by}_ms") / max(1e-9, getattr(fastest, f"{by}_ms"))
    if times >= 1 / _WORTH:
        return fastest.form, f"the least time in {time_of}, {times:.1f} times as fast as exact."
    return "exact", f"none is a tenth faster in {time_of}, and it adds nothing."
