"""What is asked of a Label Studio, through its own SDK, and its answers as typed objects.

Nothing is sent twice by itself: what may or may not have arrived is found out by the next synchronisation.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from json import JSONDecodeError
from typing import Any

import httpx

from labeling.label_studio.address import checked
from labeling.label_studio.remote import (
    RemoteAnnotation,
    RemotePrediction,
    RemoteProject,
    RemoteTask,
    Result,
    annotation_of,
    annotations_of,
    plain,
    prediction_of,
    project_of,
    task_of,
)
from palate.errors import MissingDependencyError, ParameterError, RemoteError

PAGE = 100
TIMEOUT = 60.0


class Server:
    """One Label Studio, as the user whose token it is. Close it after use."""

    def __init__(self, url: str, token: str, *, link_local: bool = False) -> None:
        """token: a legacy one or a personal access token. Raises ParameterError or RemoteError for a wrong address."""
        try:
            from label_studio_sdk import LabelStudio
            from label_studio_sdk.core.api_error import ApiError
        except ImportError as error:
            raise MissingDependencyError(
                f"synchronisation needs {error.name}.", hint="pip install 'palate[labeling]'"
            ) from error
        self.url = checked(url, link_local=link_local)
        if not token.strip() or not token.strip().isascii() or not token.strip().isprintable():
            raise ParameterError("is no token.", where="token", hint="Label Studio shows it under Account & Settings.")
        self._error = ApiError
        # Redirects are not followed: they could lead where `checked` does not.
        self._http = httpx.Client(timeout=TIMEOUT, follow_redirects=False)
        # Any: its answers differ from edition to edition, and from what its types say.
        make: Any = LabelStudio
        try:
            with self._calls("anything"):  # a personal access token may be over
                self._api = make(
                    base_url=self.url, api_key=token.strip(), httpx_client=self._http, timeout=TIMEOUT, max_retries=0
                )
        except RemoteError:
            self.close()
            raise

    def close(self) -> None:
        self._http.close()

    # Projects

    def project(self, number: int) -> RemoteProject:
        """Raises RemoteError, its code 404 if there is none."""
        with self._calls(f"project {number}"):
            return project_of(self._api.projects.get(id=number))

    def create_project(self, title: str, config: str, instructions: str, mark: str) -> RemoteProject:
        """mark: what `find_project` finds it by, in its description."""
        # Label Studio wants 3 to 50 characters.
        named = title[:50] if len(title) >= 3 else f"{title} (Palate)"
        with self._calls("a new project"):
            made = self._api.projects.create(
                title=named, label_config=config, expert_instruction=instructions, description=mark
            )
        return self.project(int(made.id))

    def find_project(self, mark: str) -> RemoteProject | None:
        """The one whose description holds the mark."""
        with self._calls("the list of projects"):
            for each in self._api.projects.list():
                if mark in (each.description or ""):
                    return self.project(int(each.id))
        return None

    def set_config(self, number: int, config: str) -> None:
        with self._calls(f"the interface of project {number}"):
            self._api.projects.update(id=number, label_config=config)

    # Tasks

    def tasks_since(self, project: int, since: str) -> Iterator[list[RemoteTask]]:
        """Tasks that changed at or after an instant (all of them for ""), the earliest change first, page by page.

        Changes made meanwhile come last. A task may come twice; none is left out.
        """
        seen: set[tuple[int, str]] = set()
        page = 1
        while True:
            found = self._page(project, since, page)
            fresh = [task for task in found if (task.id, task.changed) not in seen]
            seen.update((task.id, task.changed) for task in fresh)
            if fresh:
                yield fresh
            if len(found) < PAGE:
                return
            # Each page is asked for from where the last one ended, so that what changes meanwhile shifts nothing.
            since, page = (found[-1].changed, 1) if found[-1].changed > since and fresh else (since, page + 1)

    def _page(self, project: int, since: str, page: int) -> list[RemoteTask]:
        query: dict[str, Any] = {"ordering": ["tasks:updated_at"]}
        if since:
            from_then = {"filter": "filter:tasks:updated_at", "operator": "greater_or_equal", "type": "Datetime"}
            query["filters"] = {"conjunction": "and", "items": [{**from_then, "value": since}]}
        with self._calls("tasks"):
            try:
                found = self._api.tasks.list(
                    project=project, page=page, page_size=PAGE, query=json.dumps(query), fields="all"
                )
            except self._error as error:
                if error.status_code == 404 and page > 1:
                    return []
                raise
            return [task_of(task) for task in found.items or []]

    def add_tasks(self, project: int, tasks: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> list[int]:
        """Add tasks, each (data, meta); their numbers, in order."""
        from label_studio_sdk import ImportApiRequest

        request = [ImportApiRequest(data=data, meta=meta) for data, meta in tasks]
        with self._calls("new tasks"):
            made = self._api.projects.import_tasks(id=project, request=request, return_task_ids=True)
            numbers = list(made.task_ids or [])
        if len(numbers) != len(tasks):
            raise RemoteError(f"Label Studio took in {len(numbers)} of {len(tasks)} tasks.", where=self.url)
        return numbers

    # Annotations

    def annotations(self, task: int) -> list[RemoteAnnotation]:
        with self._calls(f"the annotations of task {task}"):
            return annotations_of(self._api.annotations.list(id=task))

    def annotation(self, number: int) -> RemoteAnnotation | None:
        """None if there is none, or if it was skipped."""
        with self._calls(f"annotation {number}"):
            try:
                found = annotations_of([self._api.annotations.get(id=number)])
            except self._error as error:
                if error.status_code == 404:
                    return None
                raise
            return found[0] if found else None

    def add_annotation(
        self, task: int, result: Result, seconds: float | None, user: int | None, unique: str
    ) -> RemoteAnnotation:
        """user: who it is by; None is whose token this is. unique: a UUID; of two with the same, the second is refused
        with the code 409.
        """
        more: dict[str, Any] = {} if user is None else {"completed_by": user}
        with self._calls(f"a new annotation of task {task}"):
            made = self._api.annotations.create(id=task, result=result, lead_time=seconds, unique_id=unique, **more)
            return annotation_of(plain(made))

    def change_annotation(self, number: int, result: Result, seconds: float | None) -> RemoteAnnotation:
        with self._calls(f"annotation {number}"):
            return annotation_of(plain(self._api.annotations.update(id=number, result=result, lead_time=seconds)))

    def remove_annotation(self, number: int) -> None:
        """Gone already is as well."""
        with self._calls(f"annotation {number}"):
            try:
                self._api.annotations.delete(id=number)
            except self._error as error:
                if error.status_code != 404:
                    raise

    # Predictions

    def predictions(self, task: int) -> list[RemotePrediction]:
        with self._calls(f"the predictions of task {task}"):
            return [prediction_of(plain(each)) for each in self._api.predictions.list(task=task)]

    def remove_prediction(self, number: int) -> None:
        """Gone already is as well."""
        with self._calls(f"prediction {number}"):
            try:
                self._api.predictions.delete(id=number)
            except self._error as error:
                if error.status_code != 404:
                    raise

    def add_predictions(self, project: int, new: Sequence[tuple[int, Result, float, str]]) -> None:
        """Add predictions, each (task, result, score, model): all of them or none."""
        from label_studio_sdk import PredictionRequest

        request = [
            PredictionRequest(task=task, result=result, score=score, model_version=model)
            for task, result, score, model in new
        ]
        with self._calls("predictions"):
            self._api.projects.import_predictions(id=project, request=request)

    # People

    def people(self) -> dict[int, str]:
        """The users' addresses of e-mail, by number."""
        with self._calls("the users"):
            return {int(each.id): str(each.email) for each in self._api.users.list()}

    def me(self) -> int:
        """Whose token it is."""
        with self._calls("the token's user"):
            return int(self._api.users.whoami().id)

    @contextmanager
    def _calls(self, what: str) -> Iterator[None]:
        """Errors of the call as ours, without anything that was sent."""
        try:
            yield
        except httpx.HTTPError as error:
            raise RemoteError(
                f"Label Studio cannot be reached ({type(error).__name__}).",
                where=self.url,
                hint="What was done stays; synchronise again once it is back.",
            ) from None
        except self._error as error:
            code = error.status_code
            if code in (401, 403):
                raise RemoteError(
                    f"Label Studio refuses the token for {what}.",
                    where=self.url,
                    hint="Make a new one under Account & Settings there.",
                    code=code,
                ) from None
            raise RemoteError(f"Label Studio refuses {what}: {_reason(error)}", where=self.url, code=code) from None
        except JSONDecodeError:
            raise RemoteError(f"gave no JSON for {what}: is that a Label Studio?", where=self.url) from None


def _reason(error: Any) -> str:
    body = error.body
    if isinstance(body, dict):
        body = body.get("validation_errors") or body.get("detail") or body
    return f"{error.status_code}, {str(body)[:500]}"
