"""A project here and one in Label Studio, kept alike: what is new there comes here, then what is new here goes there.

It may break off at any point, on either side, and be begun again: what was done stays done, and nothing is done twice.
One synchronisation at a time per project; one that died gives way after two minutes.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import Engine

from labeling.config import parse
from labeling.label_studio import ledger
from labeling.label_studio.ledger import Link, digest
from labeling.label_studio.pull import Pull
from labeling.label_studio.push import Push
from labeling.label_studio.remote import RemoteProject, earlier
from labeling.label_studio.report import Report
from labeling.label_studio.server import Server
from labeling.store import projects
from labeling.store.definition import Definition, Project
from labeling.store.relabel import relabel
from palate.errors import ConflictError, ParameterError, RemoteError
from palate.store import reading, writing
from palate.store.types import clock

OVERLAP = timedelta(seconds=10)
"""So much later than its clock says a change may become visible in Label Studio: until a synchronisation has begun so
long after the latest change was found, the next one reads so much again."""


def adopt(engine: Engine, server: Server, remote_id: int, *, overlap: int = 1) -> Project:
    """A project here for one of Label Studio's: the one that is linked with it, otherwise a new one like it."""
    theirs = server.project(remote_id)
    with writing(engine) as db:
        present = ledger.linked_with(db, server.url, remote_id)
        if present is not None:
            return projects.get(db, present)
        title = theirs.title.strip() or f"Label Studio {remote_id}"
        project, _ = projects.create(
            db, Definition(title, instructions=theirs.instructions, overlap=overlap, config=theirs.config)
        )
        ledger.make_link(db, project.id, server.url, remote_id)
        known = digest(theirs.config)
        ledger.note(db, project.id, config_digest=digest(project.config), remote_config_digest=known)
        return project


def synchronise(
    engine: Engine,
    server: Server,
    project_id: int,
    *,
    remote_id: int | None = None,
    full: bool = False,
    holder: str = "",
    said: Callable[[str], None] = lambda text: None,
) -> Report:
    """Bring both to where the other is; what was done.

    remote_id: which project there, the first time; without, one is made. full: read all tasks, not just those that
    changed there. holder: who begins it; the same one may begin it anew although it never ended. said: told now and
    then how far it is; what it raises ends the synchronisation.
    Raises BusyError while another synchronisation of the project is under way, RemoteError if Label Studio is away.
    """
    holder = holder or secrets.token_hex(8)
    with reading(engine) as db:
        projects.get(db, project_id)
        linked = ledger.link(db, project_id) is not None
    if not linked:  # for good: so that it is no slip of the pen, something has to answer there first
        server.me() if remote_id is None else server.project(remote_id)
    with writing(engine) as db:
        projects.get(db, project_id)
        ledger.make_link(db, project_id, server.url, remote_id)
        ledger.hold(db, project_id, holder)
    try:
        return _Sync(engine, server, project_id, holder, said).run(full=full)
    finally:
        with writing(engine) as db:
            ledger.let_go(db, project_id, holder)


class _Sync:
    def __init__(
        self, engine: Engine, server: Server, project_id: int, holder: str, said: Callable[[str], None]
    ) -> None:
        self._engine = engine
        self._server = server
        self._project_id = project_id
        self._holder = holder
        self._tell = said
        self._report = Report()

    def run(self, *, full: bool) -> Report:
        link, remote = self._remote()
        self._report.remote_project = remote.id
        behind = self._interface(remote)
        people = self._server.people()
        self._pull(link, remote.id, people, full=full)
        project = self._project()
        push = Push(self._engine, self._server, project, remote.id, link.mark, self._report, self._said)
        push.tasks()
        push.answers({email: number for number, email in people.items()})
        if behind and not self._send_interface(project):
            # Label Studio keeps labels that are in use; by now ours may have taken their place.
            self._report.refuse("the interface: Label Studio does not take it")
        push.predictions()
        return self._report

    def _project(self) -> Project:
        with reading(self._engine) as db:
            return projects.get(db, self._project_id)

    def _said(self, text: str) -> None:
        with writing(self._engine) as db:
            ledger.hold(db, self._project_id, self._holder)
        self._tell(text)

    # The project itself

    def _remote(self) -> tuple[Link, RemoteProject]:
        """The link and the project there, which is made if there is none yet."""
        with reading(self._engine) as db:
            link = ledger.require_link(db, self._project_id)
        if link.remote_id is not None:
            return link, self._server.project(link.remote_id)
        project = self._project()
        # It may have been made by a synchronisation that never heard of it.
        made = self._server.find_project(link.mark) or self._server.create_project(
            project.title, project.config, project.instructions, link.mark
        )
        known = {"config_digest": digest(project.config), "remote_config_digest": digest(made.config)}
        with writing(self._engine) as db:
            ledger.note(db, self._project_id, remote_id=made.id, **known)
            link = ledger.require_link(db, self._project_id)
        self._report.interface = "made there"
        return link, made

    def _interface(self, remote: RemoteProject) -> bool:
        """Take over a change of the labeling interface; whether ours is still to be sent."""
        project = self._project()
        with reading(self._engine) as db:
            link = ledger.require_link(db, self._project_id)
        we_changed = digest(project.config) != link.config_digest
        they_changed = digest(remote.config) != link.remote_config_digest
        if project.config.strip() == remote.config.strip() or link.config_digest is None:
            if project.config != remote.config:
                self._fit(project, remote)
            self._note_interface(project.config, remote.config)
        elif they_changed and we_changed:
            self._report.conflict("the interface was changed on both sides: each keeps its own")
        elif they_changed:
            self._take_interface(project, remote)
        elif we_changed:
            return not self._send_interface(project)
        return False

    def _fit(self, project: Project, remote: RemoteProject) -> None:
        """Two projects linked by hand: raises ConflictError unless they ask the same questions."""
        ours, theirs = (
            {control.name: control.type for control in interface.controls}
            for interface in (project.interface, parse(remote.config))
        )
        if ours != theirs:
            raise ConflictError(
                f"project {remote.id} there asks something else than project {project.id} here.",
                hint="Link projects whose questions have the same names and kinds, or let one be made.",
            )

    def _take_interface(self, project: Project, remote: RemoteProject) -> None:
        try:
            with writing(self._engine) as db:
                relabel(db, project, remote.config, {})
        except (ConflictError, ParameterError) as error:
            self._report.conflict(
                f"the interface was changed there, and does not fit the answers here: {error.message}"
            )
            return
        self._report.interface = "taken from there"
        self._note_interface(self._project().config, remote.config)

    def _send_interface(self, project: Project) -> bool:
        """Whether Label Studio takes it."""
        try:
            self._server.set_config(self._report.remote_project, project.config)
        except RemoteError as error:
            if error.code != 400:
                raise
            return False
        self._report.interface = "sent there"
        self._note_interface(project.config, self._server.project(self._report.remote_project).config)
        return True

    def _note_interface(self, ours: str, theirs: str) -> None:
        with writing(self._engine) as db:
            ledger.note(db, self._project_id, config_digest=digest(ours), remote_config_digest=digest(theirs))

    # What comes here

    def _pull(self, link: Link, remote_id: int, people: dict[int, str], *, full: bool) -> None:
        settled = link.synced is not None and link.seen_at is not None and link.synced >= link.seen_at + OVERLAP
        since = link.seen if settled or not link.seen else earlier(link.seen, OVERLAP)
        with reading(self._engine) as db:
            begun = clock(db)
        me, count, seen = self._server.me(), 0, link.seen
        for page in self._server.tasks_since(remote_id, "" if full else since):
            with writing(self._engine) as db:
                project = projects.get(db, self._project_id, hold=True)
                Pull(db, project, people, me, self._report).page(page)
                if page[-1].changed > seen:
                    seen = page[-1].changed
                    ledger.note(db, self._project_id, seen=seen, seen_at=clock(db))
            count += len(page)
            self._said(f"{count} tasks read")
        with writing(self._engine) as db:
            ledger.note(db, self._project_id, synced=begun)
