"""`palate label`: make projects from a catalogue, let people in, serve the page, take the answers out."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from labeling.catalogue import labels_of, parse_labels, tasks_of
from labeling.commands.consolidate import consolidate
from labeling.commands.editor import editor
from labeling.commands.publish import publish
from labeling.commands.simulate import simulate
from labeling.commands.sync import sync
from labeling.commands.telling import bar
from labeling.commands.wanted import wanted
from labeling.config import KINDS
from labeling.config.generate import takes_labels
from labeling.service import FORMATS, Labeling
from labeling.settings import LabelingSettings
from labeling.store.definition import Definition
from labeling.work.files import FORMATS as READS
from labeling.work.files import IMAGES, import_tasks
from labeling.work.images import import_pictures, in_folder, in_zip
from labeling.work.reading import format_of_name, read_tasks
from palate.dataset import FORMATS as READABLE
from palate.dataset import read_items
from palate.errors import InputError, ParameterError
from palate.files import written_whole
from palate.store import Accounts

SCOPES = ("label", "label:manage")


def _open(settings: LabelingSettings) -> Labeling:
    return Labeling.open(settings.database("labeling"), lease=settings.lease)


@click.group()
def label() -> None:
    """Label items: projects, people, the page, exports."""


label.add_command(consolidate)
label.add_command(editor)
label.add_command(simulate)
label.add_command(publish)
label.add_command(sync)
label.add_command(wanted)


@label.command()
@click.option(
    "--from",
    "source",
    metavar="FOLDER|FILE",
    help="A catalogue: CSV, JSONL, Parquet, ...; without, a project without tasks, to import into.",
)
@click.option("--title", required=True, help="The project's name; asked for again, new items are added to it.")
@click.option("--labels", metavar="A,B,C", help="Without: the catalogue's categories.")
@click.option("--kind", type=click.Choice(KINDS), default="choice", show_default=True, help="What is asked.")
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A labeling interface in Label Studio's XML, instead of --kind and --labels.",
)
@click.option("--instructions", default="", help="A text for the people who label; @FILE reads it from a file.")
@click.option("--overlap", default=1, show_default=True, help="How many people answer each item.")
@click.option("--only-uncategorised", is_flag=True, help="Leave out items that have a category already.")
@click.option("--limit", type=click.IntRange(1), help="At most this many items, the catalogue's first.")
@click.option(
    "--format", "form", type=click.Choice([str(name) for name in READABLE]), default="auto", show_default=True
)
def create(
    source: str | None,
    title: str,
    labels: str | None,
    kind: str,
    config: Path | None,
    instructions: str,
    overlap: int,
    only_uncategorised: bool,
    limit: int | None,
    form: str,
) -> None:
    """Make a project whose tasks are a catalogue's items."""
    items = None if source is None else read_items(source, form)
    tasks = [] if items is None else list(tasks_of(items, only_uncategorised=only_uncategorised))[:limit]
    if source is not None and not tasks:
        raise InputError("there is no item to label.", where=source)
    if labels is not None:
        chosen = tuple(parse_labels(labels))
    else:
        chosen = labels_of(items) if items is not None and config is None and takes_labels(kind) else ()
    xml = "" if config is None else _read(config)
    definition = Definition(title, chosen, _text(instructions), overlap, kind, xml)
    project, made, added = _open(LabelingSettings.read()).create(definition, tasks)
    what = "Made" if made else "Found"
    click.echo(f"{what} project {project.id} {project.title!r}: {added} tasks added, {project.tasks} in all.")


def _text(value: str) -> str:
    return _read(Path(value[1:])).strip() if value.startswith("@") else value


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError("is not UTF-8 text.", where=str(file)) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}.", where=str(file)) from None


@label.command("list")
def list_projects() -> None:
    """Show the projects and how far they are."""
    for project, state in _open(LabelingSettings.read()).projects(""):
        click.echo(f"{project.id}\t{state.done}/{state.tasks} done\t{project.title}")


@label.command("import")
@click.argument("project", type=int)
@click.argument("file", metavar="FILE|FOLDER", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(READS), help="Without: by the file's ending.")
def import_(project: int, file: Path, form: str | None) -> None:
    """Add the tasks in FILE to a project: CSV, JSON lines, Parquet, or JSON as Label Studio exports it. Of a FOLDER,
    or a ZIP archive of one, every image in it becomes a task.

    Tasks that are there already stay as they are, so an import that was stopped goes on when it is repeated.
    """
    form = form or (IMAGES if file.is_dir() else format_of_name(file.name))
    try:
        if file.is_dir() and form == IMAGES:
            pictures = in_folder(file)
        else:
            data = file.read_bytes()
            pictures = in_zip(data) if form == IMAGES else []
            arrivals = [] if form == IMAGES else read_tasks(data, form)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}.", where=str(file)) from None
    engine = _open(LabelingSettings.read()).engine
    with bar() as told:
        if form == IMAGES:
            outcome = import_pictures(engine, project, pictures, told)
        else:
            outcome = import_tasks(engine, project, arrivals, told)
    click.echo(f"{outcome['tasks']} tasks and {outcome['answers']} answers added; {outcome['present']} were there.")


@label.command()
@click.argument("project", type=int)
@click.option("--format", "form", type=click.Choice(list(FORMATS)), default="json", show_default=True)
@click.option("--all", "every_task", is_flag=True, help="Tasks without an answer, too.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="A file; without, standard output.")
def export(project: int, form: str, every_task: bool, out: Path | None) -> None:
    """Write a project's answers: Label Studio's form, CSV, COCO for boxes, spaCy for stretches of text."""
    pieces = _open(LabelingSettings.read()).export(project, form, every_task=every_task)
    if out is None:
        for piece in pieces:
            click.echo(piece, nl=False)
        return
    with written_whole(out) as file:
        file.writelines(piece.encode() if isinstance(piece, str) else piece for piece in pieces)


@label.command()
@click.option("--host", help="Which address to listen on. [PALATE_HOST, else 127.0.0.1]")
@click.option("--port", type=click.IntRange(1, 65_535), help="[PALATE_LABEL_PORT, else 8081]")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes that answer.")
@click.option(
    "--jobs", type=click.IntRange(0, 64), default=1, show_default=True, help="Processes that do long work beside them."
)
def serve(host: str | None, port: int | None, workers: int, jobs: int) -> None:
    """Serve the pages and the API until stopped."""
    from labeling.work.process import Workers
    from palate.web.serve import serve as run

    settings = LabelingSettings.read()
    engine = _open(settings).engine
    accounts = Accounts(engine)
    if not accounts.list_people() and not accounts.list_keys():
        click.echo("Nobody can sign in yet: palate label people add NAME", err=True)
    engine.dispose()  # whoever is forked from here must not find the database open
    with Workers(jobs):
        run(
            "labeling.app:create", host or settings.host, settings.label_port if port is None else port, workers=workers
        )


@label.command()
@click.option("--once", is_flag=True, help="Do what is due now, and stop.")
def work(once: bool) -> None:
    """Do the service's long work until stopped: consensus, automatic labels. `serve` starts one of these itself."""
    from labeling.work.process import main, work_off

    if once:
        settings = LabelingSettings.read()
        work_off(_open(settings).engine, settings)
    else:
        main()


@label.group()
def people() -> None:
    """Who may label."""


@people.command("add")
@click.argument("name")
@click.option("--manager", is_flag=True, help="May also make projects and take the answers out.")
def add_person(name: str, manager: bool) -> None:
    """Let NAME in; asks for a password, or reads it from standard input."""
    scopes = SCOPES if manager else SCOPES[:1]
    _accounts().add_person(name, _password(), scopes)
    click.echo(f"{name} may sign in now.")


@people.command("password")
@click.argument("name")
def set_password(name: str) -> None:
    """Change the password of NAME; their sessions end."""
    _accounts().set_password(name, _password())


@people.command("disable")
@click.argument("name")
def disable_person(name: str) -> None:
    """Let NAME in no longer. What they answered stays."""
    _accounts().disable_person(name)


@people.command("list")
def list_people() -> None:
    """Show who may sign in."""
    for person in _accounts().list_people():
        click.echo(f"{person.name}\t{' '.join(person.scopes)}\t{'disabled' if person.disabled else ''}")


def _accounts() -> Accounts:
    return Accounts(_open(LabelingSettings.read()).engine)


def _password() -> str:
    if sys.stdin.isatty():
        answer: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
        return answer
    line = sys.stdin.readline().rstrip("\n")
    if not line:
        raise ParameterError("is empty.", where="password", hint="Give it as one line on standard input.")
    return line
