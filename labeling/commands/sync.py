"""`palate label sync`: a project and one of Label Studio's, kept alike."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from labeling.commands.telling import tell
from labeling.service import Labeling
from labeling.settings import LabelingSettings
from palate.errors import ParameterError
from palate.files import written_whole

if TYPE_CHECKING:
    from labeling.label_studio.report import Report


@click.command(no_args_is_help=True)
@click.argument("project", type=click.IntRange(1), required=False)
@click.option("--url", metavar="URL", help="The Label Studio's address. [PALATE_LABEL_STUDIO_URL]")
@click.option(
    "--token",
    metavar="TOKEN",
    envvar="LABEL_STUDIO_API_KEY",
    show_envvar=True,
    help="A legacy or a personal access token. Others on this machine see what stands on a command line.",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="A file that holds the token; - is standard input. [PALATE_LABEL_STUDIO_TOKEN_FILE]",
)
@click.option("--remote", type=click.IntRange(1), help="Which project there; without PROJECT one like it is made here.")
@click.option("--full", is_flag=True, help="Read all tasks there, not just those that changed.")
@click.option("--link-local", is_flag=True, help="Call the address even if it is a link-local one.")
@click.option("--json", "out", type=click.Path(dir_okay=False, path_type=Path), help="A file for the whole report.")
def sync(
    project: int | None,
    url: str | None,
    token: str | None,
    token_file: Path | None,
    remote: int | None,
    full: bool,
    link_local: bool,
    out: Path | None,
) -> None:
    """Bring PROJECT and a project of Label Studio to where the other is: tasks, answers, predictions, labels."""
    from labeling.label_studio.server import Server
    from labeling.label_studio.sync import adopt, synchronise

    settings = LabelingSettings.read()
    if project is None and remote is None:
        raise ParameterError("say which project: PROJECT here, or --remote there.", where="project")
    address = url or settings.label_studio_url
    if not address:
        raise ParameterError("is missing.", where="--url", hint="Or set PALATE_LABEL_STUDIO_URL.")
    server = Server(address, _token(token, token_file, settings), link_local=link_local)
    try:
        engine = Labeling.open(settings.database("labeling"), lease=settings.lease).engine
        number = project if project is not None else adopt(engine, server, remote or 0).id
        report = synchronise(engine, server, number, remote_id=remote, full=full, said=tell)
    finally:
        server.close()
    if out is not None:
        with written_whole(out) as file:
            file.write((json.dumps({"project": number, **report.to_dict()}, indent=2) + "\n").encode())
    click.echo(_told(number, report))


def _token(token: str | None, file: Path | None, settings: LabelingSettings) -> str:
    """What was named most closely: the file, then the token, then the file of the settings."""
    chosen = file or (None if token else settings.label_studio_token_file)
    if chosen is None:
        if not token:
            raise ParameterError(
                "is missing.",
                where="--token-file",
                hint="Or set LABEL_STUDIO_API_KEY, or PALATE_LABEL_STUDIO_TOKEN_FILE.",
            )
        return token
    try:
        return sys.stdin.readline() if str(chosen) == "-" else chosen.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ParameterError(f"cannot be read ({reason}).", where=str(chosen)) from None


def _told(project: int, report: Report) -> str:
    lines = [
        f"Project {project} and project {report.remote_project} there are alike.",
        f"Came here: {report.tasks_in} tasks, {report.answers_in} answers, {report.predictions_in} predictions; "
        f"{report.withdrawn_in} answers withdrawn.",
        f"Went there: {report.tasks_out} tasks, {report.answers_out} answers, {report.predictions_out} predictions; "
        f"{report.withdrawn_out} answers withdrawn.",
    ]
    if report.interface:
        lines.append(f"The interface was {report.interface}.")
    lines += [f"Conflict: {each}." for each in report.conflicts] + [f"Refused: {each}" for each in report.refused]
    hidden = report.conflicts_found + report.refused_found - len(report.conflicts) - len(report.refused)
    return "\n".join([*lines, *([f"And {hidden} more."] if hidden else [])])
