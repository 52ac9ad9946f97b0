"""Changing what a project asks after people have answered: labels renamed, merged, added, removed.

Every answer there is must fit the new interface once its labels are mapped; otherwise nothing changes. So no answer is
ever dropped, and none is left that nobody could give. Required questions that are new are the exception: who answered
before them was not asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, Table, and_, bindparam, case, delete, func, select, update

from labeling.answers import check, kept, labels_of
from labeling.config import Interface, parse
from labeling.store.definition import Project
from labeling.store.tables import (
    answers,
    automatic,
    consensus,
    consolidations,
    drafts,
    predictions,
    projects,
    runs,
    skills,
    tasks,
)
from palate.errors import ConflictError, ParameterError

LabelMap = Mapping[str, Mapping[str, str]]
"""By the control's name: each old label and the new one that takes its place."""
LISTS = ("choices", "labels", "rectanglelabels")
"""Where the value of a region holds labels."""


def relabel(connection: Connection, project: Project, config: str, mapping: LabelMap) -> int:
    """Give the project another interface; how many answers were mapped.

    Raises ParameterError for a mapping from or to what is not there, ConflictError naming how many answers stand in
    the way.
    """
    new = parse(config)
    # Turns hold a share of this row while they check an answer: none is checked by the old interface from here on.
    connection.execute(select(projects.c.id).where(projects.c.id == project.id).with_for_update())
    _check_mapping(project.interface, new, mapping)
    work = _Work(connection, project, new, mapping, _gone(project.interface, new, mapping))
    changed = work.keep(answers.c.id, answers.c.value, "answers")
    work.keep(answers.c.id, answers.c.original, "corrected answers")
    work.keep(tasks.c.id, tasks.c.gold, "gold tasks")
    work.keep_automatic()
    work.keep_what_fits(drafts)
    work.keep_what_fits(predictions)
    connection.execute(
        update(projects)
        .where(projects.c.id == project.id)
        .values(config=new.config, kind=new.kind, labels=list(new.labels))
    )
    return changed


@dataclass(frozen=True)
class _Work:
    """The change of one project. gone: by control, the labels that are no more and that nothing takes the place of."""

    connection: Connection
    project: Project
    new: Interface
    mapping: LabelMap
    gone: Mapping[str, set[str]]

    def keep(self, ids: Column[Any], column: Column[Any], what: str) -> int:
        """Map all results in a column, how many changed. Raises ConflictError unless all of them fit."""
        changed: list[dict[str, Any]] = []
        in_the_way: Counter[str] = Counter()
        misfits: list[ParameterError] = []
        for number, value, data in self._results(ids, column):
            used = {label for name, label in _labels(value) if label in self.gone.get(name, ())}
            in_the_way.update(used)
            mapped = mapped_result(value, self.mapping)
            misfit = None if used else self._misfit(data, mapped)
            if misfit is not None:
                misfits.append(misfit)
            if mapped != value:
                changed.append({"this": number, "mapped": mapped})
        _refuse(in_the_way, misfits, what)
        if changed:
            change = update(column.table).where(ids == bindparam("this")).values({column: bindparam("mapped")})
            self.connection.execute(change, changed)
        return len(changed)

    def keep_what_fits(self, table: Table) -> None:
        """Map drafts or predictions; those that do not fit are no loss, and go."""
        keys = list(table.primary_key.columns)
        query = select(*keys, table.c.value, tasks.c.data).join(tasks, tasks.c.id == table.c.task_id)
        for *key, value, data in self.connection.execute(query.where(table.c.project_id == self.project.id)).all():
            here = and_(*(column == part for column, part in zip(keys, key, strict=True)))
            mapped = mapped_result(value, self.mapping)
            if self._misfit(data, mapped) is not None:
                self.connection.execute(delete(table).where(here))
            elif mapped != value:
                self.connection.execute(update(table).where(here).values(value=mapped))

    def keep_automatic(self) -> None:
        """Map the labels that a model gave. Raises ConflictError for one that would be gone.

        The consensus was made of other labels, and is forgotten until it is computed again.
        """
        ours = automatic.c.run_id.in_(select(runs.c.id).where(runs.c.project_id == self.project.id))
        count = select(automatic.c.label, func.count().filter(~automatic.c.withdrawn)).where(ours)
        used = self.connection.execute(count.group_by(automatic.c.label)).all()
        if used:
            successors = self._successors(dict(used))
            if successors:
                to = case(successors, value=automatic.c.label, else_=automatic.c.label)
                self.connection.execute(update(automatic).where(ours).values(label=to))
        for table in (consensus, skills, consolidations):
            self.connection.execute(delete(table).where(table.c.project_id == self.project.id))

    def _successors(self, used: Mapping[str, int]) -> dict[str, str]:
        """What takes the place of the automatic labels in use, of which so many count. Raises ConflictError."""
        old = self.project.interface.controls[0]
        new = self.new.by_name.get(old.name)
        if new is None:
            _refuse(Counter({old.name: sum(used.values())}), [], "automatic labels")
            return {}
        gone, mapping = self.gone.get(old.name, set()), self.mapping.get(old.name, {})
        in_the_way: Counter[str] = Counter()
        found: dict[str, str] = {}
        for text, number in used.items():
            labels = labels_of(old, text)
            mapped = {mapping.get(label, label) for label in labels}
            in_order = [label for label in new.labels if label in mapped]
            for label in gone.intersection(labels) if number else ():
                in_the_way[label] += number
            if new.kind == "choice" and len(in_order) != 1:
                in_the_way[" + ".join(labels)] += 0 if gone.intersection(labels) else number
            else:
                found[text] = kept(new, in_order)
        _refuse(+in_the_way, [], "automatic labels")
        return {text: to for text, to in found.items() if to != text}

    def _results(self, ids: Column[Any], column: Column[Any]) -> Iterator[Any]:
        query = select(ids, column, tasks.c.data).where(tasks.c.project_id == self.project.id, column.is_not(None))
        if ids.table is not tasks:
            query = query.join(tasks, tasks.c.id == ids.table.c.task_id)
        return iter(self.connection.execute(query.execution_options(yield_per=1000)))

    def _misfit(self, data: Mapping[str, Any], result: Sequence[Mapping[str, Any]]) -> ParameterError | None:
        try:
            check(self.new, data, result, whole=False, where="answer")
        except ParameterError as error:
            return error
        return None


def mapped_result(result: Sequence[Mapping[str, Any]], mapping: LabelMap) -> list[dict[str, Any]]:
    """The regions with their labels mapped; two that become one are there once."""
    return [_mapped(region, mapping.get(str(region.get("from_name")), {})) for region in result]


def _mapped(region: Mapping[str, Any], labels: Mapping[str, str]) -> dict[str, Any]:
    value = region.get("value")
    if not labels or not isinstance(value, dict):
        return dict(region)
    lists = {name: value[name] for name in LISTS if isinstance(value.get(name), list)}
    changed = {name: list(dict.fromkeys(labels.get(label, label) for label in given)) for name, given in lists.items()}
    return {**region, "value": {**value, **changed}}


def _labels(result: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Which controls were answered with which labels."""
    return [
        (str(region.get("from_name")), label)
        for region in result
        if isinstance(region.get("value"), dict)
        for name in LISTS
        for label in region["value"].get(name) or ()
    ]


def _check_mapping(old: Interface, new: Interface, mapping: LabelMap) -> None:
    for name, labels in mapping.items():
        where = f"map.{name[:80]}"
        if name not in old.by_name or name not in new.by_name:
            raise ParameterError("is asked in only one of the two interfaces, or in none.", where=where)
        for before, after in labels.items():
            if before not in old.by_name[name].labels:
                raise ParameterError(f"{before[:80]!r} is no label so far.", where=where)
            if after not in new.by_name[name].labels:
                raise ParameterError(f"{after[:80]!r} will be no label.", where=where)


def _gone(old: Interface, new: Interface, mapping: LabelMap) -> dict[str, set[str]]:
    """By control, the labels that are no more and that nothing takes the place of."""
    kept = {control.name: set(control.labels) | set(mapping.get(control.name, ())) for control in new.controls}
    return {
        control.name: set(control.labels) - kept[control.name]
        for control in old.controls
        if control.name in kept and not new.by_name[control.name].any_label
    }


def _refuse(in_the_way: Counter[str], misfits: Sequence[ParameterError], what: str) -> None:
    if in_the_way:
        uses = ", ".join(f"{label[:80]!r} ({count})" for label, count in in_the_way.most_common(5))
        raise ConflictError(
            f"{what} use labels that would be gone: {uses}. Nothing was changed.",
            where="map",
            hint="Say which label takes the place of each.",
        )
    if misfits:
        raise ConflictError(
            f"{len(misfits)} {what} would not fit the new interface; the first: {misfits[0]} Nothing was changed.",
            where="config",
        )
