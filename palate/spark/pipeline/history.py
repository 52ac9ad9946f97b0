"""What a pipeline leaves in MLflow: one run for the whole, and nested in it one for each step, ran or skipped.

A tracking server that goes away in the middle costs the record, never the work: it is said once, on standard error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from palate.errors import RegistryError
from palate.tracking import Tracker
from palate.tracking.runs import Run, inside


class History:
    """tracker: None records nothing. say: gets the line about a server that went away."""

    def __init__(self, tracker: Tracker | None, say: Callable[[str], None]) -> None:
        self._tracker, self._say = tracker, say
        self._parent: Run | None = None
        self._lost = False

    @contextmanager
    def pipeline(self, name: str, params: Mapping[str, Any], tags: Mapping[str, str]) -> Iterator[None]:
        """The parent run. Raises RegistryError if MLflow is away when it starts."""
        if self._tracker is None:
            yield
            return
        with ExitStack() as stack:
            self._parent = stack.enter_context(self._kept(self._tracker.run(name, params=params, tags=tags)))
            yield

    @contextmanager
    def step(self, name: str, params: Mapping[str, Any], tags: Mapping[str, str]) -> Iterator[Run | None]:
        """A run nested in the pipeline's, and current in this thread; None where nothing is recorded."""
        if self._tracker is None or self._parent is None:
            yield None
            return
        with ExitStack() as stack:
            stack.enter_context(inside(self._parent))
            run = None
            try:
                run = stack.enter_context(self._kept(self._tracker.run(name, params=params, tags=tags)))
            except RegistryError as error:
                self._warn(error)
            yield run

    def log(self, run: Run | None, *, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        if run is not None:
            try:
                run.log(metrics=metrics, tags=tags)
            except RegistryError as error:
                self._warn(error)

    def end(self, status: str, tags: Mapping[str, str]) -> None:
        """What the pipeline's run ends as, and what is said of it."""
        if self._parent is not None:
            self._parent.status = status
            self.log(self._parent, metrics={}, tags=tags)

    @contextmanager
    def _kept(self, context: Any) -> Iterator[Run]:
        """The run; that its end could not be recorded is no error."""
        run = context.__enter__()
        try:
            yield run
        except BaseException as error:
            self._leave(context, type(error), error)
            raise
        self._leave(context, None, None)

    def _leave(self, context: Any, kind: type[BaseException] | None, error: BaseException | None) -> None:
        try:
            context.__exit__(kind, error, None)
        except RegistryError as lost:
            self._warn(lost)
        except BaseException as raised:
            if raised is not error:
                raise

    def _warn(self, error: RegistryError) -> None:
        if not self._lost:
            self._say(f"not recorded in MLflow: {error}")
        self._lost = True
