"""Automatic labeling where tasks have several labels: a set is a label of its own, in every place it comes to."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from labeling.exports.final import Final
from labeling.service import Labeling
from labeling.store.definition import Definition, NewTask
from labeling.work.publish import patch_of
from labeling.work.settings import RunSettings
from palate.errors import ConflictError
from tests.labeling.test_runs import NAMES, WORDS, Project, sqlite

SETTINGS = RunSettings(target=0.85, model="tfidf", seed_items=40)
OPTIONAL = """<View><Text name="text" value="$text"/>
<Choices name="label" toName="text" choice="multiple">
<Choice value="Sea"/><Choice value="Snow"/><Choice value="Town"/><Choice value="Never"/></Choices></View>"""


def postcards(n, *, none=0.0, vague=0.1, seed=0):
    """So many texts, each about one label or two, or (a share) about none; a share says little."""
    draw = np.random.default_rng(seed)
    texts, truth = [], []
    for number in range(n):
        count = 0 if draw.random() < none else int(draw.choice([1, 1, 2]))
        labels = [NAMES[place] for place in sorted(draw.choice(3, count, replace=False))]
        words = [word for name in labels for word in draw.choice(WORDS[name].split(), 3)]
        others = draw.choice(["it", "was", "a", "day", "like", "any"], 3)
        texts.append(" ".join(others if draw.random() < vague else [*words, *others]) + f" {number}")
        truth.append(labels)
    return [NewTask(f"t{i}", {"text": text}) for i, text in enumerate(texts)], truth


class Tagged(Project):
    """A project that asks for several labels."""

    def __init__(self, service, work, n=130, *, config=None, overlap=1, title="Postcards", **generated):
        tasks, self.truth = postcards(n, **generated)
        asked = {"config": config} if config else {"labels": NAMES, "kind": "choices"}
        self.service, self.work = service, work
        self.id = service.create(Definition(title, overlap=overlap, **asked), tasks)[0].id
        self.suggestions = []

    def answer(self, person="ann", wrong=(), most=10_000):
        seen = []
        while len(seen) < most and (task := self.service.next_task(self.id, person).task) is not None:
            labels = self.truth[task.position]
            if task.position in wrong:
                labels = [name for name in NAMES if (name in labels) != (name == "Town")] or ["Sea"]
            self.suggestions.append(task.suggestion)
            self.service.submit(self.id, person, task.task_id, {"choices": labels})
            seen.append(task.position)
        return seen

    def start(self, settings=SETTINGS):
        return super().start(settings)

    @property
    def made(self):
        """By external id the labels of the model."""
        labels = self.service.automation.labels(self.id, limit=1000)
        return {each.external_id: json.loads(each.label) for each in labels}


@sqlite
def test_whole_sets_are_labeled_and_come_out_in_every_form(store, work):
    project = Tagged(Labeling(store.engine), work)
    project.start()
    ended = project.go()
    assert (ended.run.state, ended.run.error, project.progress.remaining) == ("done", None, 0)
    made, last = project.made, ended.rounds[-1]
    assert len(made) == ended.labels > 30
    assert np.mean([labels == project.truth[int(name[1:])] for name, labels in made.items()]) >= 0.85
    assert {len(labels) for labels in made.values()} == {1, 2}
    assert last["bound"] >= 0.85
    said = [each for each in project.suggestions if each is not None]
    assert said
    assert all(set(each.value[0]["value"]["choices"]) <= set(NAMES) for each in said)
    tasks = {
        task["meta"]["external_id"]: task for task in json.loads("".join(project.service.export(project.id, "json")))
    }
    final = csv.DictReader(io.StringIO("".join(project.service.export(project.id, "labels"))))
    table = csv.DictReader(io.StringIO("".join(project.service.export(project.id, "csv"))))
    assert {row["external_id"]: row["label"] for row in final if row["source"] == "model"} == {
        name: ", ".join(labels) for name, labels in made.items()
    }
    assert {row["external_id"]: row["model_label"] for row in table if row["model_label"]} == {
        name: ", ".join(labels) for name, labels in made.items()
    }
    for name, labels in made.items():
        (prediction,) = tasks[name]["predictions"]
        (region,) = prediction["result"]
        assert (region["type"], region["value"]) == ("choices", {"choices": labels})
    # Labels change their names, merge, and are withdrawn like those of people.
    with pytest.raises(ConflictError, match="use labels that would be gone"):
        project.service.relabel(project.id, labels=("Snow", "Town"))
    mapping = {"label": {"Sea": "Outside", "Snow": "Outside"}}
    project.service.relabel(project.id, labels=("Outside", "Town"), mapping=mapping)
    after = {name: list(dict.fromkeys("Outside" if x != "Town" else x for x in said)) for name, said in made.items()}
    assert project.made == after
    assert project.service.automation.withdraw(project.id) == len(made)
    assert project.progress.automatic == 0


@sqlite
def test_no_label_at_all_is_an_answer_where_none_is_required(store, work):
    project = Tagged(Labeling(store.engine), work, config=OPTIONAL, none=0.3, vague=0.0)
    project.start()
    ended = project.go()
    assert ended.run.state == "done"
    made = project.made
    assert [] in made.values()
    assert not any("Never" in labels for labels in made.values())  # what nobody ever said, no model says
    assert np.mean([labels == project.truth[int(name[1:])] for name, labels in made.items()]) >= 0.85
    tasks = json.loads("".join(project.service.export(project.id, "json")))
    empty = {name for name, labels in made.items() if not labels}
    assert {t["meta"]["external_id"] for t in tasks if t["predictions"] and not t["predictions"][0]["result"]} == empty


@sqlite
def test_several_people_are_put_together_label_by_label_and_a_later_run_starts_warm(store, work):
    service = Labeling(store.engine)
    project = Tagged(service, work, 60, overlap=2)
    project.start()
    project.work()
    seed = project.answer("ann")
    project.answer("bob", wrong=seed[:4])
    project.work()
    assert (project.run.rounds[0]["labeled"], project.run.rounds[0]["answers"]) == (len(seed), 2 * len(seed))
    service.automation.act(project.id, "stop")
    project.work()
    warm = Tagged(service, work, 60, title="More postcards", seed=1)
    warm.start(RunSettings(target=0.85, model="tfidf", seed_items=30, warm_from=project.id))
    warm.work()
    warm.answer()
    warm.work()
    assert warm.run.run.error is None
    assert warm.run.rounds[0]["model"].startswith("warm ")


def test_a_set_becomes_tags_with_its_confidence():
    final = Final(1, "t1", "", "", "Sea, Town", 0.93, "model", 0, "m#1", 1, 0.9)
    change = patch_of({"tags": ["old"], "attributes": {}}, ["Sea", "Town"], final, "place", "tags")
    assert change["tags"] == ["Sea", "Town", "old"]
    assert change["attributes"] == {"place": ["Sea", "Town"], "place_confidence": 0.93, "place_source": "model"}
