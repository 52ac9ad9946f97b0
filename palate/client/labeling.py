"""The labeling service from a program's side.

    client = LabelingClient("http://127.0.0.1:8081", token)
    project = client.create("Which genre?", ["Comedy", "Drama"], tasks=[{"external_id": "a", "data": {"text": "..."}}])
    client.start_run(project["id"], target=0.95, budget=2000)
    client.wait(project["id"], client.start_export(project["id"], "parquet")["id"])

Answers are what the API answers, as docs/labeling.md and /docs of the service describe it. Whatever the service refuses
is a RemoteError with its own words.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from palate.client.calls import Caller, Policy
from palate.errors import ParameterError, RemoteError

KEY = "PALATE_LABELING_KEY"
"""The environment variable that holds a key of the scope `label`, or `label:manage`."""
Json = dict[str, Any]
_PAGE = 1000


class LabelingClient:
    """One labeling service. Safe to share between threads; what is answered counts for the key's holder."""

    def __init__(self, url: str, key: str | None = None, *, policy: Policy | None = None) -> None:
        """url: http://host:port. key: a token; that of the environment unless given."""
        found = key if key is not None else os.environ.get(KEY, "").strip() or None
        self._caller = Caller(url, found, policy)

    # Projects and tasks

    def projects(self) -> list[Json]:
        found: list[Json] = self._ask("GET", "")["projects"]
        return found

    def project(self, project: int) -> Json:
        return self._ask("GET", f"/{project}")

    def create(self, title: str, labels: Sequence[str] = (), **more: Any) -> Json:
        """Make a project, or find the one there is. more: kind, config, overlap, instructions, tasks."""
        return self._ask("POST", "", {"title": title, "labels": list(labels), **more})

    def change(self, project: int, **changes: Any) -> Json:
        return self._ask("PATCH", f"/{project}", changes)

    def add_tasks(self, project: int, tasks: Sequence[Mapping[str, Any]]) -> Json:
        return self._ask("POST", f"/{project}/tasks", {"tasks": [dict(task) for task in tasks]})

    # Labeling

    def next(self, project: int, holding: Sequence[int] = ()) -> Json | None:
        """The next task, leased to whoever asks; None when nothing is left for them.

        None also while a model learns, which may ask for more: ask again as long as a `run` is running.
        """
        found: Json | None = self._ask("POST", f"/{project}/next", {"holding": list(holding)})["task"]
        return found

    def submit(
        self,
        project: int,
        task: int,
        value: Any,
        seconds: float | None = None,
        *,
        holding: Sequence[int] | None = None,
    ) -> Json:
        """When this returns, the answer is on the service's disk. Submitting it again changes nothing.

        holding: have the next task handed out with it, as `next` does; it is the answer's `task`.
        """
        answer = {"value": value, "seconds": seconds, "holding": None if holding is None else list(holding)}
        return self._ask("PUT", f"/{project}/tasks/{task}/annotation", answer)

    def skip(self, project: int, task: int, reason: str | None = None) -> Json:
        return self._ask("POST", f"/{project}/tasks/{task}/skip", {"reason": reason})

    # Consensus and automatic labels

    def consolidate(self, project: int, method: str | None = None) -> Json:
        """Have the consensus computed; the job."""
        return self._ask("POST", f"/{project}/consensus", {"method": method})

    def consensus(self, project: int) -> Json:
        return self._ask("GET", f"/{project}/consensus")

    def consensus_of_tasks(self, project: int) -> Iterator[Json]:
        return self._pages(f"/{project}/consensus/tasks", "tasks")

    def start_run(self, project: int, **settings: Any) -> Json:
        """Begin a run of automatic labeling. settings: target, budget, check, model, ..."""
        return self._ask("POST", f"/{project}/autolabel", settings)

    def run(self, project: int) -> Json:
        return self._ask("GET", f"/{project}/autolabel")

    def act(self, project: int, action: str) -> Json:
        """pause, resume or stop the run."""
        return self._ask("PATCH", f"/{project}/autolabel", {"action": action})

    def labels(self, project: int) -> Iterator[Json]:
        """What the model labeled."""
        return self._pages(f"/{project}/autolabel/labels", "labels")

    def withdraw(self, project: int, tasks: Sequence[int] | None = None) -> int:
        """Take the model's labels back; how many."""
        body = {"tasks": None if tasks is None else list(tasks)}
        return int(self._ask("POST", f"/{project}/autolabel/withdraw", body)["labels"])

    def restore(self, project: int) -> int:
        """Let withdrawn labels count again, but for tasks that people have begun since; how many."""
        return int(self._ask("POST", f"/{project}/autolabel/restore")["labels"])

    # Files and jobs

    def start_import(self, project: int, data: bytes, form: str) -> Json:
        """Have the tasks in a file taken in: csv, jsonl, parquet or label-studio; the job."""
        path = f"/v1/projects/{project}/imports?{urlencode({'format': form})}"
        return self._send(path, data)

    def start_export(self, project: int, form: str = "json", every_task: bool = False) -> Json:
        """Have the answers written into a file; the job."""
        return self._ask("POST", f"/{project}/exports", {"format": form, "all": every_task})

    def exported(self, project: int, job: int) -> bytes:
        """The file that an export wrote."""
        return self._caller.call("GET", f"/v1/projects/{project}/exports/{job}").body

    def job(self, project: int, job: int) -> Json:
        return self._ask("GET", f"/{project}/jobs/{job}")

    def wait(self, project: int, job: int, seconds: float = 3600.0, every: float = 0.5) -> Json:
        """The job once it is done. Raises RemoteError if it failed, was cancelled, or takes longer."""
        end = time.monotonic() + seconds
        while True:
            found = self.job(project, job)
            if found["state"] == "done":
                return found
            if found["state"] in ("failed", "cancelled"):
                raise RemoteError(f"job {job} {found['state']}: {found['error'] or 'nothing more'}")
            if time.monotonic() > end:
                raise RemoteError(f"job {job} is {found['state']} after {seconds:g} seconds.")
            time.sleep(every)

    def close(self) -> None:
        self._caller.close()

    def _ask(self, method: str, path: str, body: Any = None) -> Json:
        found: Json = self._caller.json(method, f"/v1/projects{path}", body)
        return found

    def _send(self, path: str, data: bytes) -> Json:
        if not data:
            raise ParameterError("the file is empty.", where="data")
        answer = self._caller.call("POST", path, data, {"Content-Type": "application/octet-stream"})
        found: Json = json.loads(answer.body)
        return found

    def _pages(self, path: str, name: str) -> Iterator[Json]:
        after: int | None = 0
        while after is not None:
            page = self._ask("GET", f"{path}?{urlencode({'after': after, 'limit': _PAGE})}")
            yield from page[name]
            after = page["next"]
