"""Every trial as an MLflow run, nested under the run that is open where the search was started."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from palate.errors import RegistryError
from palate.settings import Settings
from palate.tracking import Tracker
from palate.tracking.runs import Run, current_run

if TYPE_CHECKING:
    from palate.tuning.story import Story
    from palate.tuning.trials import Outcome


@contextmanager
def tracked(settings: Settings, name: str) -> Iterator[Run | None]:
    """An open run around a search, where the settings name a tracking server; else nothing."""
    if not settings.tracking_uri:
        yield None
        return
    with Tracker(settings).run(name) as run:
        yield run


@dataclass
class Log:
    """Logs outcomes, where a run is open. A tracking server that goes away ends the logging, not the search."""

    parent: Run | None
    tracker: Tracker | None
    failure: str = ""

    @classmethod
    def of_the_open_run(cls) -> Self:
        run = current_run()
        return cls(run, None if run is None else Tracker(run.uri))

    def __call__(self, outcome: Outcome) -> None:
        if self.tracker is None:
            return
        candidate = outcome.candidate
        try:
            params = {"model": candidate.kind, **candidate.values}
            with self.tracker.run(f"trial {candidate.kind}", params=params) as run:
                metrics = {"fit_seconds": outcome.fitting, "rank_seconds_per_user": outcome.ranking}
                if outcome.ndcg == outcome.ndcg:
                    metrics["validation_ndcg@20"] = outcome.ndcg
                told = {"pruned": "yes"} if outcome.pruned else {}
                run.log(metrics=metrics, tags=told | ({"failure": outcome.failure} if outcome.failure else {}))
                run.status = "FAILED" if outcome.failure else "FINISHED"
        except RegistryError as error:
            self.tracker, self.failure = None, f"trials after this were not logged: {error}"

    def summary(self, story: Story) -> None:
        """What was chosen, in the open run itself."""
        if self.tracker is None or self.parent is None:
            return
        try:
            self.parent.log(params={"parts": ",".join(story.parts)}, metrics=story.metrics)
        except RegistryError as error:
            self.failure = f"the summary was not logged: {error}"
