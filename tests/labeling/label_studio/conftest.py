"""A labeling service with a project of short texts, and a key for its backend."""

from __future__ import annotations

import base64
import threading

import pytest

from labeling.app import create
from labeling.label_studio import jobs
from labeling.settings import LabelingSettings
from labeling.store.definition import Definition, NewTask
from palate.store import Accounts, Jobs, run_worker

GOOD = ["good film", "a good and funny film", "such a good story", "good actors, good music", "really good"]
BAD = ["bad film", "a bad and dull film", "such a bad story", "bad actors, bad music", "really bad"]
TEXTS = [text for pair in zip(GOOD, BAD, strict=True) for text in pair]
LABELS = ["Positive", "Negative"] * len(GOOD)


class Service:
    """The service, used as a program would."""

    def __init__(self, home, **settings):
        self.settings = LabelingSettings(home=home, **settings)
        self.app = create(self.settings)
        self.labeling = self.app.extensions["labeling"]
        self.engine = self.labeling.engine

    def key(self, *scopes):
        return Accounts(self.engine).create_key("test", scopes)[1]

    def texts(self, title="Films", overlap=1, **more):
        """A project of ten films, good ones and bad ones."""
        new = [NewTask(f"film-{number}", {"text": text}) for number, text in enumerate(TEXTS)]
        definition = Definition(title, ("Positive", "Negative"), overlap=overlap, **more)
        return self.labeling.create(definition, new)[0]

    def answer(self, project, labels=LABELS, person="ada"):
        """Somebody answers as many tasks as there are labels, in order."""
        for label in labels:
            task = self.labeling.next_task(project.id, person).task
            self.labeling.submit(project.id, person, task.task_id, {"choices": [label]})

    def work(self):
        """Do the jobs that wait; they are done when this returns."""
        stop = threading.Event()
        handlers = jobs.handlers(self.engine, self.settings)
        worker = threading.Thread(target=run_worker, args=(self.engine, handlers, stop), kwargs={"poll_seconds": 0.05})
        worker.start()
        try:
            while any(job.state in ("queued", "running") for job in Jobs(self.engine).list()):
                stop.wait(0.02)
        finally:
            stop.set()
            worker.join()
        return Jobs(self.engine).list()[0]


def basic(token, user="palate"):
    """The header by which Label Studio signs in."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{token}".encode()).decode()}


@pytest.fixture
def service(tmp_path):
    service = Service(tmp_path)
    yield service
    service.engine.dispose()
