"""Who does what in a project: its administrators, reviewers and annotators.

A project without members is open: everybody who may label works on it. From its first member on only its members do.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import Connection, Text, bindparam, delete, insert, select, update

from labeling.store.definition import Project, is_text
from labeling.store.each import each
from labeling.store.tables import PERSON_LENGTH, members, projects
from palate.errors import ForbiddenError, ParameterError
from palate.store.prepared import Prepared

ADMINISTRATOR, REVIEWER, ANNOTATOR = "administrator", "reviewer", "annotator"
ROLES = (ADMINISTRATOR, REVIEWER, ANNOTATOR)
MAX_MEMBERS = 10_000
_ROLE = Prepared(
    select(members.c.role).where(members.c.project_id == bindparam("project"), members.c.person == bindparam("who"))
)
_people = each("people", who=Text)
_WORKERS = Prepared(
    select(members.c.person)
    .join(_people, members.c.person == _people.c.who)
    .where(members.c.project_id == bindparam("project"))
)


def listed(connection: Connection, project: Project) -> dict[str, str]:
    """Each member's role, by name."""
    query = select(members.c.person, members.c.role).where(members.c.project_id == project.id)
    return {row.person: row.role for row in connection.execute(query.order_by(members.c.person))}


def set_all(connection: Connection, project: Project, roles: Mapping[str, str]) -> None:
    """Make these the project's members, and nobody else. Raises ParameterError for a name or a role that is none."""
    if len(roles) > MAX_MEMBERS:
        raise ParameterError(f"has {len(roles)} people; at most {MAX_MEMBERS} fit.", where="members")
    for person, role in roles.items():
        if not person.strip() or len(person) > PERSON_LENGTH or not is_text(person):
            raise ParameterError(f"{person[:80]!r} is no name of a person.", where="members")
        if role not in ROLES:
            hint = f"Use one of {', '.join(ROLES)}."
            raise ParameterError(f"{role[:40]!r} is no role.", where=f"members.{person[:80]}", hint=hint)
    connection.execute(update(projects).where(projects.c.id == project.id).values(closed=bool(roles)))
    connection.execute(delete(members).where(members.c.project_id == project.id))
    if roles:
        rows = [{"project_id": project.id, "person": person, "role": role} for person, role in roles.items()]
        connection.execute(insert(members), rows)


def require_role(connection: Connection, project: Project, person: str, roles: Collection[str]) -> None:
    """Raises ForbiddenError unless the person has one of these roles in the project."""
    if role_of(connection, project, person) not in roles:
        raise ForbiddenError(f"this is for people who are {' or '.join(roles)} in project {project.id}.")


def require_worker(connection: Connection, project: Project, person: str) -> None:
    """Raises ForbiddenError if the project has members and the person is none of them."""
    if project.closed and role_of(connection, project, person) is None:
        raise ForbiddenError(
            f"only its members work on project {project.id}.", hint="Ask who administers it to add you."
        )


def workers(connection: Connection, project: Project, people: Collection[str]) -> set[str]:
    """Which of them are members. On PostgreSQL only."""
    return {person for (person,) in _WORKERS.all(connection, project=project.id, who=list(people))}


def role_of(connection: Connection, project: Project, person: str) -> str | None:
    """The person's role in the project, None if they are no member."""
    found = _ROLE.first(connection, project=project.id, who=person)
    return None if found is None else found[0]
