"""With a real Label Studio: projects kept alike with it, both ways and through accidents, and a backend for it."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import httpx
import pytest
from click.testing import CliRunner
from werkzeug.serving import make_server

from labeling.label_studio import jobs, ledger
from labeling.label_studio import sync as synchronisation
from labeling.label_studio.report import Report
from labeling.label_studio.server import Server
from labeling.label_studio.sync import adopt, synchronise
from labeling.store.definition import Definition, NewTask
from labeling.store.forecasts import Prediction
from labeling.store.tables import answers, predictions
from palate.cli import palate
from palate.errors import ConflictError, RemoteError
from palate.store import reading, writing
from tests.labeling.label_studio.conftest import LABELS, TEXTS, Service
from tests.labeling.label_studio.studio import TOKEN, USER, Wire, free_port, missing, new_studio

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(missing() is not None, reason=missing() or ""),
]


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    studio = new_studio(tmp_path_factory.mktemp("studio") / "data")
    studio.start()
    yield studio
    studio.stop()


@pytest.fixture(scope="module")
def api(studio):
    """Label Studio's own client: what somebody does over there."""
    from label_studio_sdk import LabelStudio

    with httpx.Client(timeout=120) as http:
        yield LabelStudio(base_url=studio.url, api_key=TOKEN, httpx_client=http)


@pytest.fixture
def server(studio):
    server = Server(studio.url, TOKEN)
    yield server
    server.close()


@pytest.fixture
def sync(service, server):
    """Synchronises a project, and says what was done."""

    def run(project, **more):
        return synchronise(service.engine, server, project.id, **more)

    return run


def tasks_there(api, number):
    """A project's tasks there by their text."""
    return {task.data["text"]: task for task in api.tasks.list(project=number, fields="all")}


def result(label, **more):
    return [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": [label]}, **more}]


def labels(annotations):
    return sorted(each["result"][0]["value"]["choices"][0] for each in annotations)


def answers_here(service, project):
    with reading(service.engine) as db:
        rows = db.execute(answers.select().where(answers.c.project_id == project.id)).all()
    return sorted((row.person, row.value[0]["value"]["choices"][0]) for row in rows)


def test_a_project_goes_there_and_what_is_done_there_comes_back(service, sync, api, monkeypatch):
    films = service.texts()
    service.answer(films, LABELS[:2])
    service.labeling.predict(films.id, "m1", [Prediction("film-5", {"choices": ["Negative"]}, 0.75)])
    report = sync(films)
    assert (report.tasks_out, report.answers_out, report.predictions_out) == (10, 2, 1)
    number = report.remote_project
    assert api.projects.get(id=number).label_config == films.config.strip()
    there = tasks_there(api, number)
    assert sorted(there) == sorted(TEXTS)
    assert labels(there[TEXTS[0]].annotations) == ["Positive"]
    (said,) = api.predictions.list(task=there[TEXTS[5]].id)
    assert (said.result, said.score, said.model_version) == (result("Negative"), 0.75, "m1")
    assert sync(films) == Report(remote_project=number)

    # Somebody answers, changes and deletes over there, and adds a task.
    api.annotations.create(id=there[TEXTS[2]].id, result=result("Positive", id="r1"), lead_time=2.5)
    changed, deleted = (there[TEXTS[task]].annotations[0]["id"] for task in (0, 1))
    api.annotations.update(id=changed, result=result("Negative"))
    api.annotations.delete(id=deleted)
    api.projects.import_tasks(id=number, request=[{"data": {"text": "a new film"}}])
    report = sync(films)
    assert (report.tasks_in, report.answers_in, report.withdrawn_in, report.answers_out) == (1, 2, 1, 0)
    assert answers_here(service, films) == [("ada", "Negative"), (USER, "Positive")]
    assert service.labeling.project(films.id, "ada")[0].tasks == 11
    assert sync(films) == Report(remote_project=number)

    # Everything still where it was, when all of it is read again; and only the latest change is, if not.
    read = []
    assert sync(films, full=True, said=read.append) == Report(remote_project=number)
    monkeypatch.setattr(synchronisation, "OVERLAP", timedelta(0))
    for _ in range(2):
        assert sync(films, said=read.append) == Report(remote_project=number)
    assert (read[0], read[-1]) == ("11 tasks read", "1 tasks read"), read


def test_what_is_changed_and_withdrawn_here_goes_there(service, sync, api):
    films = service.texts()
    service.answer(films, LABELS[:2])
    number = sync(films).remote_project
    service.labeling.submit(films.id, "ada", 1, {"choices": ["Negative"]})
    service.labeling.skip(films.id, "ada", 2)
    service.labeling.predict(films.id, "m1", [Prediction("film-5", {"choices": ["Negative"]}, 0.75)])
    report = sync(films)
    assert (report.answers_out, report.withdrawn_out, report.predictions_out) == (1, 1, 1)
    service.labeling.predict(films.id, "m2", [Prediction("film-5", {"choices": ["Positive"]}, 0.5)])
    assert sync(films).predictions_out == 1
    there = tasks_there(api, number)
    assert labels(there[TEXTS[0]].annotations) == ["Negative"]
    assert there[TEXTS[1]].annotations == []
    (said,) = api.predictions.list(task=there[TEXTS[5]].id)
    assert (said.result, said.model_version) == (result("Positive"), "m2")
    assert sync(films) == Report(remote_project=number)


def test_a_conflict_keeps_both_on_both_sides(service, sync, api):
    films = service.texts()
    service.answer(films, LABELS[:1])
    number = sync(films).remote_project
    task = tasks_there(api, number)[TEXTS[0]]
    api.annotations.update(id=task.annotations[0]["id"], result=result("Negative"))
    service.labeling.relabel(films.id, labels=["Positive", "Negative", "Mixed"])
    service.labeling.submit(films.id, "ada", 1, {"choices": ["Mixed"]})
    report = sync(films)
    assert (report.conflicts_found, report.answers_in, report.answers_out) == (1, 1, 1)
    assert report.interface == "sent there"
    assert answers_here(service, films) == [("ada", "Mixed"), ("ada (Label Studio)", "Negative")]
    assert labels(tasks_there(api, number)[TEXTS[0]].annotations) == ["Mixed", "Negative"]
    assert len(service.labeling.comments(films.id, flag=True, resolved=False)) == 1
    assert sync(films) == Report(remote_project=number)


def test_a_project_of_theirs_comes_here_with_all_it_has(service, server, sync, api):
    config = (
        '<View><Text name="text" value="$text"/><Choices name="label" toName="text"><Choice value="Positive"/>'
        '<Choice value="Negative"/></Choices>'
        '<Taxonomy name="mood" toName="text"><Choice value="A"/></Taxonomy></View>'
    )
    made = api.projects.create(title="Theirs", label_config=config, expert_instruction="Look twice.")
    mood = {"from_name": "mood", "to_name": "text", "type": "taxonomy", "value": {"taxonomy": [["A"]]}, "id": "y"}
    both = [*result("Negative", id="x"), mood]
    request = [{"data": {"text": text}} for text in TEXTS[:2]]
    ids = api.projects.import_tasks(id=made.id, request=request, return_task_ids=True).task_ids
    api.annotations.create(id=ids[0], result=both)
    project = adopt(service.engine, server, made.id, overlap=1)
    report = sync(project)
    assert (report.tasks_in, report.answers_in, report.answers_out) == (2, 1, 0)
    assert adopt(service.engine, server, made.id) == service.labeling.project(project.id, "ada")[0]
    assert (project.config, project.instructions) == (config, "Look twice.")
    with reading(service.engine) as db:
        assert db.execute(answers.select()).one().value == both
    api.projects.update(id=made.id, label_config=config.replace('"A"/>', '"A"/><Choice value="B"/>'))
    assert sync(project).interface == "taken from there"
    assert '"B"' in service.labeling.project(project.id, "ada")[0].config
    assert sync(project) == Report(remote_project=made.id)


CUTS = {
    "project": r"POST /api/projects/$",
    "tasks": r"POST /api/projects/\d+/import",
    "annotation": r"POST /api/tasks/\d+/annotations",
    "change": r"PATCH /api/annotations/",
    "deletion": r"DELETE /api/annotations/",
    "predictions": r"POST /api/projects/\d+/import/predictions",
}


@pytest.mark.parametrize("store_url", ["postgresql"], indirect=True)
def test_an_answer_that_never_came_back_doubles_nothing(store_url, tmp_path, studio, api):
    """At each kind of request Label Studio does what it was asked, and we never hear of it."""
    service = Service(tmp_path, database_url=store_url)
    wire = Wire(studio)
    films = service.texts("Cut")
    service.answer(films, LABELS[:3])
    service.labeling.predict(films.id, "m1", [Prediction("film-5", {"choices": ["Negative"]}, 0.75)])
    server = Server(wire.url, TOKEN)

    def broken_and_mended(kind):
        wire.cut, before = CUTS[kind], wire.cuts
        with pytest.raises(RemoteError, match="cannot be reached"):
            synchronise(service.engine, server, films.id)
        assert wire.cuts == before + 1

    try:
        for kind in ("project", "tasks", "annotation", "predictions"):
            broken_and_mended(kind)
        number = synchronise(service.engine, server, films.id).remote_project
        service.labeling.submit(films.id, "ada", 1, {"choices": ["Negative"]})
        broken_and_mended("change")
        service.labeling.skip(films.id, "ada", 2)
        broken_and_mended("deletion")
        synchronise(service.engine, server, films.id)
        assert synchronise(service.engine, server, films.id) == Report(remote_project=number)
        assert answers_here(service, films) == [("ada", "Negative"), ("ada", "Positive")]
    finally:
        server.close()
        wire.close()
        service.engine.dispose()
    assert [project.title for project in api.projects.list()].count("Cut") == 1
    there = list(api.tasks.list(project=number, fields="all"))
    assert sorted(task.data["text"] for task in there) == sorted(TEXTS)
    by_text = {task.data["text"]: task for task in there}
    assert [labels(by_text[text].annotations) for text in TEXTS[:4]] == [["Negative"], [], ["Positive"], []]
    assert [len(api.predictions.list(task=task.id)) for task in by_text.values()].count(1) == 1


def test_label_studio_dies_in_the_middle(service, studio, server, sync, api):
    new = [NewTask(f"t{number}", {"text": f"film {number}"}) for number in range(130)]
    project, *_ = service.labeling.create(Definition("Died", ("Positive", "Negative")), new)
    service.answer(project, ["Positive"] * 12)

    def kill(text):
        if text == "5 answers sent":
            studio.kill()

    with pytest.raises(RemoteError, match="cannot be reached"):
        sync(project, said=kill)
    with pytest.raises(RemoteError):
        sync(project)
    studio.start()
    report = sync(project)
    assert (report.tasks_out, report.answers_out, report.answers_in) == (0, 7, 0)
    there = tasks_there(api, report.remote_project)
    assert len(there) == api.projects.get(id=report.remote_project).task_number == 130
    assert [len(there[f"film {number}"].annotations) for number in range(14)] == [1] * 12 + [0, 0]
    assert sync(project) == Report(remote_project=report.remote_project)


def test_what_label_studio_refuses_keeps_nothing_else_back(service, sync, api):
    films = service.texts()
    service.answer(films, LABELS[:3])
    number = sync(films).remote_project
    api.tasks.delete(id=str(tasks_there(api, number)[TEXTS[0]].id))
    service.labeling.submit(films.id, "ada", 1, {"choices": ["Negative"]})
    service.labeling.submit(films.id, "ada", 3, {"choices": ["Negative"]})
    service.answer(films, LABELS[3:4])
    report = sync(films)
    assert report.answers_out == 2
    assert sorted(answers_here(service, films)) == [("ada", "Negative")] * 3 + [("ada", "Negative")]


def test_two_at_once_and_wrong_tokens(service, studio, server, sync):
    films = service.texts()
    sync(films)

    def again(text):
        with pytest.raises(ConflictError, match="being synchronised already"):
            sync(films)

    service.answer(films, LABELS[:1])
    assert sync(films, said=again).answers_out == 1

    # A worker dies in the middle: its job is taken up again, and goes on.
    (service.settings.home / "token").write_text(TOKEN)
    linked = {"label_studio_url": studio.url, "label_studio_token_file": service.settings.home / "token"}
    service.settings = service.settings.model_copy(update=linked)
    job = jobs.begin_sync(service.engine, service.settings, films.id)
    with writing(service.engine) as db:
        ledger.hold(db, films.id, f"job-{job}")
    service.answer(films, LABELS[1:2])
    assert service.work().result["answers_out"] == 1
    wrong = Server(studio.url, TOKEN[::-1])
    with pytest.raises(RemoteError, match="refuses the token") as refused:
        synchronise(service.engine, wrong, films.id)
    assert TOKEN[::-1] not in str(refused.value)
    wrong.close()


@pytest.mark.filterwarnings("ignore:The `parse_obj` method is deprecated")
def test_a_personal_access_token_will_do(service, studio, api):
    films = service.texts()
    personal = api.tokens.create().token
    server = Server(studio.url, personal)
    try:
        assert synchronise(service.engine, server, films.id).tasks_out == 10
    finally:
        server.close()


def test_the_command(tmp_path, studio, monkeypatch):
    monkeypatch.setenv("PALATE_HOME", str(tmp_path))
    service = Service(tmp_path)
    films = service.texts("By command")
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    told = ["label", "sync", str(films.id), "--url", f"{studio.url}/", "--token-file", str(tmp_path / "token")]
    done = CliRunner().invoke(palate, [*told, "--json", str(tmp_path / "report.json")])
    assert done.exit_code == 0, done.output
    assert "Went there: 10 tasks" in done.output
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", TOKEN)
    done = CliRunner().invoke(palate, told[:5])
    assert (done.exit_code, "Went there: 0 tasks" in done.output) == (0, True), done.output
    done = CliRunner().invoke(palate, [*told[:3], "--url", "http://127.0.0.1:1"])
    assert isinstance(done.exception, ConflictError)  # it is linked with another one
    assert TOKEN not in done.output + str(done.exception)
    service.engine.dispose()


@pytest.fixture
def served(service):
    """The service where Label Studio can call it, with a worker."""
    port = free_port()
    web = make_server("127.0.0.1", port, service.app, threaded=True)
    thread = threading.Thread(target=web.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{port}"
    web.shutdown()
    thread.join()


def test_label_studio_shows_our_predictions_and_has_us_train(service, studio, served, sync, api, tmp_path):
    (tmp_path / "token").write_text(TOKEN)
    linked = {"label_studio_url": studio.url, "label_studio_token_file": tmp_path / "token"}
    service.settings = service.app.extensions["palate"].settings = service.settings.model_copy(update=linked)
    films = service.texts()
    number = sync(films).remote_project
    key = service.key("label:ml")
    sign = {"auth_method": "BASIC_AUTH", "basic_auth_user": "palate"}
    with pytest.raises(Exception, match="authentication parameters"):
        api.ml.create(url=f"{served}/ml/{films.id}", project=number, basic_auth_pass="wrong", **sign)
    backend = api.ml.create(url=f"{served}/ml/{films.id}", project=number, basic_auth_pass=key, **sign)
    assert backend.readable_state == "Connected"

    # People label over there; START_TRAINING has that fetched and a model trained.
    there = tasks_there(api, number)
    for text, label in list(zip(TEXTS, LABELS, strict=True))[:8]:
        api.annotations.create(id=there[text].id, result=result(label))
    api.ml.train(id=backend.id)
    done = service.work()
    assert (done.state, done.result["answers"], done.result["version"]) == ("done", 8, f"palate-{films.id}-1")
    assert api.ml.list_model_versions(id=str(backend.id)).versions == [f"palate-{films.id}-1"]

    api.actions.create(id="retrieve_tasks_predictions", project=number, selected_items={"all": True, "excluded": []})
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        said = {text: api.predictions.list(task=there[text].id) for text in TEXTS}
        if all(said.values()):
            break
        time.sleep(0.2)
    assert [each[0].result[0]["value"]["choices"][0] for each in said.values()] == LABELS
    assert {each[0].model_version for each in said.values()} == {f"palate-{films.id}-1"}

    # Its webhooks tell of what is answered there, and have it fetched.
    hook = {"headers": {"Authorization": f"Bearer {key}"}, "send_payload": True, "send_for_all_actions": True}
    api.webhooks.create(url=f"{served}/ml/{films.id}/webhook", project=number, **hook)
    api.annotations.create(id=there[TEXTS[8]].id, result=result(LABELS[8]))
    assert service.work().kind == jobs.SYNC
    assert len(answers_here(service, films)) == 9

    # What it keeps as predictions comes here as suggestions, and is not sent back.
    assert sync(films).predictions_out == 0
    with reading(service.engine) as db:
        kept = db.execute(predictions.select().where(predictions.c.project_id == films.id)).all()
        assert ledger.require_link(db, films.id).remote_id == number
    assert {row.model for row in kept} == {f"palate-{films.id}-1"}
