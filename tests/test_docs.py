"""The README and docs/ say what the code has: settings, routes, commands, jobs, parameters; and their links lead
somewhere. Everything is read from the running code, so a change of it without its page fails here."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from labeling.app import create as create_labeling
from labeling.settings import LabelingSettings
from palate.bundle import write_bundle
from palate.cli import palate
from palate.cli.job import jobs
from palate.cli.keys import SCOPES
from palate.dataset import FORMATS
from palate.dataset.generate import generate_dataset
from palate.evaluation.metrics import ACCURACY
from palate.models import KINDS, artifact_class, make_recommender
from palate.models.protocol import Capability, Recommender
from palate.settings import Settings
from palate.spark.splits import METHODS
from palate.web.access import scope_of
from palate.web.problems import catalogue
from palate.web.settings import WebSettings
from services.endpoints.app import create as create_endpoints
from services.endpoints.routes import KEY as ENDPOINTS
from services.endpoints.settings import EndpointSettings
from services.recommender.app import create as create_recommender
from services.recommender.settings import RecommenderSettings
from services.recommender.state import KEY
from services.recommender.strategies import STRATEGIES

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SETTINGS = {
    "Every process": Settings,
    "Every service": WebSettings,
    "The recommendation API": RecommenderSettings,
    "Model endpoints": EndpointSettings,
    "The labeling service": LabelingSettings,
}
"""Heading of docs/settings.md to the class that it is about."""
RANKING = [kind for kind in KINDS if issubclass(artifact_class(kind), Recommender)]


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """What stands below a heading, up to the next one of its level or above."""
    found = re.search(rf"^(#+) {re.escape(heading)}$", text, re.MULTILINE)
    assert found, f"there is no heading {heading!r}"
    rest = text[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def rows(text: str) -> dict[str, str]:
    """First cell, without its backquotes, to the whole line, of every table row."""
    return {found[1]: found[0] for found in re.finditer(r"^\| `([^`]+)` \|.*$", text, re.MULTILINE)}


# -- settings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("heading", SETTINGS)
def test_every_setting_has_its_row_and_its_default(heading):
    kind = SETTINGS[heading]
    own = {name for name in kind.__annotations__ if name in kind.model_fields}
    table = rows(section(page("settings.md"), heading))
    assert set(table) == {f"PALATE_{name.upper()}" for name in own}
    for name in own:
        default = kind.model_fields[name].default
        shown = {None: "none", "": "empty"}.get(default, f"`{str(default).lower() if default is False else default}`")
        assert shown in table[f"PALATE_{name.upper()}"].rsplit("|", 2)[1], name


def test_no_page_names_a_setting_that_is_not_there():
    known = {f"PALATE_{name.upper()}" for kind in SETTINGS.values() for name in kind.model_fields}
    known |= {"PALATE_CONFIG", "PALATE_TEST_DATA"}
    known |= {"PALATE_ENDPOINT_KEY", "PALATE_API_KEY", "PALATE_LABELING_KEY"}  # of clients
    for path in PAGES:
        assert set(re.findall(r"PALATE_[A-Z_]*[A-Z]", path.read_text(encoding="utf-8"))) <= known, path.name


# -- routes ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def recommender(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data = generate_dataset(5, 10, 30)
    write_bundle(make_recommender("popularity").fit(data.interactions), tmp_path / "bundle")
    app = create_recommender(RecommenderSettings(home=tmp_path / "home", bundle=tmp_path / "bundle"))
    yield app
    app.extensions[KEY][0].stop()
    app.extensions["palate"].engine.dispose()


@pytest.fixture
def labeling(tmp_path):
    app = create_labeling(LabelingSettings(home=tmp_path / "home"))
    yield app
    app.extensions["palate"].engine.dispose()


@pytest.fixture
def endpoints(tmp_path):
    app = create_endpoints(EndpointSettings(home=tmp_path / "home"))
    yield app
    app.extensions[ENDPOINTS].stop()
    app.extensions["palate"].engine.dispose()


@pytest.mark.parametrize(
    ("house", "name"), [("recommender", "api.md"), ("labeling", "labeling.md"), ("endpoints", "endpoints.md")]
)
def test_every_route_is_in_the_table_of_its_page_and_keys_can_be_made_for_it(house, name, request):
    routes, app = set(), request.getfixturevalue(house)
    views = [(rule.endpoint, app.view_functions[rule.endpoint]) for rule in app.url_map.iter_rules()]
    scopes = {scope_of(app, name) or getattr(view, "__palate_password__", None) for name, view in views}
    assert (scopes - {None, ""}) | {"metrics"} == set(SCOPES[house])
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith("/v1"):
            place = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
            routes |= {f"{method} {place}" for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}}
    assert len(routes) > 3
    assert {row for row in rows(page(name)) if " /v1/" in row} == routes


def test_every_route_outside_v1_is_told(recommender):
    places = {rule.rule for rule in recommender.url_map.iter_rules() if not rule.rule.startswith(("/v1", "/static"))}
    text = page("api.md")
    for place in places:
        assert re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", place) in text, place


def test_every_strategy_has_its_row_in_order():
    names = [strategy.name for strategy in STRATEGIES]
    assert [row for row in rows(section(page("api.md"), "Strategies")) if row in names] == names


def test_every_problem_has_its_row():
    table = rows(section(page("api.md"), "Errors"))
    of_the_library = {slug for slug in catalogue() if not slug.startswith("http-")}
    assert of_the_library <= set(table)
    for slug in of_the_library:
        assert f"| {catalogue()[slug][0]} |" in table[slug], slug


# -- commands ----------------------------------------------------------------------------------------------------------


def leaves(command: click.Command, path: str) -> Iterator[str]:
    """The full names of the sub-commands that do something."""
    if not isinstance(command, click.Group):
        yield path
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from leaves(found, f"{path} {name}")


def test_every_command_is_told():
    text = " ".join(path.read_text(encoding="utf-8") for path in PAGES)
    missing = [name for name in leaves(palate, "palate") if not re.search(rf"{re.escape(name)}\b", text)]
    assert missing == []


def test_every_job_is_told_both_ways():
    text = page("jobs.md")
    for name in jobs():
        assert f"palate job {name} " in text
        assert f"spark_jobs/{name}.py" in text


def command_of(job: str) -> click.Command:
    """The click command behind a script of spark_jobs."""
    script = (ROOT / "spark_jobs" / f"{job}.py").read_text(encoding="utf-8")
    where, what = re.findall(r"from (palate\.spark\.jobs\.\w+) import (\w+)", script)[0]
    found: click.Command = getattr(importlib.import_module(where), what)
    return found


@pytest.mark.parametrize("job", jobs())
def test_every_option_of_a_job_is_told(job):
    heading = "train_mf, train_content" if job in ("train_mf", "train_content") else job
    text = section(page("jobs.md"), heading)
    assert [option for option in options(command_of(job)) if f"`{option}" not in text] == []


@pytest.mark.parametrize(
    ("name", "path", "heading"),
    [
        ("jobs.md", ["job"], "Options of Spark"),
        ("models.md", ["evaluate"], "Evaluation"),
        ("labeling.md", ["label", "create"], "Projects"),
        ("labeling.md", ["label", "export"], "Export"),
        ("labeling.md", ["label", "consolidate"], "Consensus"),
        ("labeling.md", ["label", "simulate"], "Automatic labels"),
        ("label-studio.md", ["label", "sync"], "Synchronisation"),
    ],
)
def test_every_option_of_a_command_is_told(name, path, heading):
    command: click.Command = palate
    for part in path:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), part)
        assert found is not None
        command = found
    text = section(page(name), heading)
    assert [option for option in options(command) if f"`{option}" not in text] == []


def options(command: click.Command) -> list[str]:
    """The long names of its options."""
    return [part.opts[0] for part in command.params if isinstance(part, click.Option)]


def command_lines() -> Iterator[tuple[str, str]]:
    """(page, what follows `palate`) for each command line in a code block."""
    for path in PAGES:
        text = path.read_text(encoding="utf-8").replace("\\\n", " ")
        for line in re.findall(r"^ {4}(.*)$", text, re.MULTILINE):
            found = re.match(r"(?:\$ )?(?:[A-Z_]+=\S+ )*(?:\S*/)?palate +(.+)$", line.strip()) or re.search(
                r" exec \w+ palate +(.+)$", line
            )
            if found:
                yield path.name, found[1]


LINES = list(command_lines())


@pytest.mark.parametrize(("name", "line"), LINES, ids=[f"{name}: {line}" for name, line in LINES])
def test_a_command_line_of_the_docs_is_one_that_the_command_takes(name, line):
    words = shlex.split(line, comments=True)
    end = next((place for place, word in enumerate(words) if word in ("|", ">", "&&", "&")), len(words))
    take(palate, words[:end])


def take(command: click.Command, arguments: list[str]) -> None:
    """Parses as the command line does, without running anything. Raises click's UsageError for what does not fit."""
    try:
        context = command.make_context(command.name, list(arguments))
    except click.exceptions.Exit:  # --help
        return
    if isinstance(command, click.Group):
        _, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert found is not None
        take(found, rest)
    elif command.name == "job":
        take(command_of(context.params["name"]), list(context.params["arguments"]))


# -- models and data ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", RANKING)
def test_every_parameter_has_its_row_and_its_default(kind):
    found = artifact_class(kind)
    table = rows(section(page("models.md"), f"`{kind}`"))
    fields = {field.name: field.default for field in dataclasses.fields(found.Params)}
    assert set(table) == set(fields)
    for name, default in fields.items():
        assert table[name].rsplit("|", 2)[1].strip() == f"`{default}`", name


def test_every_kind_and_capability_is_told():
    text = page("models.md")
    for name in (*KINDS, *Capability):
        assert f"`{name}`" in text


def test_every_metric_is_defined():
    table = rows(section(page("models.md"), "Metrics"))
    assert set(table) == {*ACCURACY, "coverage", "novelty", "diversity"}


def test_every_benchmark_has_its_row():
    harness = ast.parse((ROOT / "benchmarks" / "harness.py").read_text(encoding="utf-8"))
    named = {node.targets[0].id: node.value for node in harness.body if isinstance(node, ast.Assign)}
    listed = [name for part in ("NAMES", "ON_REQUEST") for name in ast.literal_eval(named[part])]
    assert list(rows(section(page("benchmarks.md"), "What is compared"))) == listed


def test_every_format_and_split_is_told():
    text = page("data.md")
    assert set(FORMATS) <= set(rows(section(text, "Formats"))) | {"auto"}
    assert set(rows(section(text, "Splits"))) == set(METHODS)


# -- links -------------------------------------------------------------------------------------------------------------


def anchors(text: str) -> set[str]:
    """The names by which a page's headings are linked to, as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        place, _, anchor = target.partition("#")
        file = (path.parent / place).resolve() if place else path
        assert file.exists(), target
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file.read_text(encoding="utf-8")), target
