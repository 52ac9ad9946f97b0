"""Optuna behind the search: samplers, studies, and what a study remembers of a trial beside its value."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palate.errors import MissingDependencyError, ParameterError
from palate.tuning.trials import Candidate, Outcome

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.study import Study
    from optuna.trial import Trial

SAMPLERS = ("tpe", "random", "grid", "sobol", "gp")
"""Optuna's: tree-structured Parzen estimator, random, grid, quasi-Monte Carlo (Sobol), Gaussian process."""


def sampler_of(name: str, seed: int) -> BaseSampler:
    """Raises ParameterError for an unknown one."""
    from optuna import samplers

    if name == "sobol":
        return samplers.QMCSampler(qmc_type="sobol", scramble=True, seed=seed)
    makers: dict[str, Any] = {
        "tpe": samplers.TPESampler,
        "random": samplers.RandomSampler,
        "grid": samplers.RandomSampler,  # its points are put into the study's queue
        "gp": samplers.GPSampler,
    }
    if name not in makers:
        raise ParameterError(f"it must be one of {', '.join(SAMPLERS)}, not {name!r}.", where="auto.sampler")
    found: BaseSampler = makers[name](seed=seed)
    return found


def require_optuna() -> None:
    """Raises MissingDependencyError where it is not installed."""
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise MissingDependencyError(
            "the search for the best model needs optuna.", hint="pip install 'palate[tune]'."
        ) from None


def open_study(name: str, sampler: str, seed: int, storage: Path | None) -> Study:
    """A new study, or the one of this name where `storage`, an SQLite file, has it; None keeps it in memory."""
    import optuna

    return optuna.create_study(
        storage=None if storage is None else f"sqlite:///{storage}",
        study_name=name,
        sampler=sampler_of(sampler, seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=3),
        direction="maximize",
        load_if_exists=True,
    )


def outcomes_of(study: Study, kind: str) -> list[Outcome]:
    """What the finished trials of a study found, as `remember` left it with them."""
    return [
        _remembered(kind, trial.user_attrs, trial.value, trial.state.name == "PRUNED")
        for trial in study.get_trials(deepcopy=False)
        if trial.state.is_finished() and "values" in trial.user_attrs
    ]


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Without its lines and its warnings of what is experimental."""
    require_optuna()
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(before)


def state(name: str) -> Any:
    """Optuna's state of a trial that is over."""
    from optuna.trial import TrialState

    return TrialState[name]


def remember(trial: Trial, outcome: Outcome) -> None:
    """What a resumed search has to know of a trial, beside its value."""
    trial.set_user_attr("values", dict(outcome.candidate.values))
    trial.set_user_attr("share", outcome.candidate.share)
    trial.set_user_attr("seconds", [outcome.fitting, outcome.ranking])
    trial.set_user_attr("failure", outcome.failure)
    if outcome.pruned:
        trial.set_user_attr("ndcg", outcome.ndcg)


def _remembered(kind: str, told: Mapping[str, Any], value: float | None, pruned: bool) -> Outcome:
    fitting, ranking = told["seconds"]
    ndcg = told.get("ndcg", float("nan")) if value is None or pruned else value
    return Outcome(Candidate(kind, told["values"], told["share"]), ndcg, fitting, ranking, told["failure"], pruned)
