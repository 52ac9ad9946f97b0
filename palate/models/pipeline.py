"""Artifacts one after the other, as one artifact: PCA then k-means, say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from palate.errors import SchemaError
from palate.models.protocol import Arrays, Artifact, Signature


@dataclass(frozen=True)
class Stage:
    """A named step. `inputs` says which column of the pipeline feeds which input column of the artifact;
    an input that is not listed is fed by the column of its own name."""

    name: str
    artifact: Artifact
    inputs: Mapping[str, str] = field(default_factory=dict)

    def source(self, column: str) -> str:
        return self.inputs.get(column, column)


class ArtifactPipeline:
    """Runs its stages in order. Each sees the batch and what the stages before it gave; the answer holds the
    output columns of all of them.

    Raises SchemaError for no stages, a repeated name, an artifact without that input, or an output column that two
    stages give.
    """

    kind: ClassVar[str] = "pipeline"

    def __init__(self, stages: Sequence[Stage]) -> None:
        if not stages:
            raise SchemaError("a pipeline needs at least one stage.", where="stages")
        self.stages = tuple(stages)
        self._inputs: dict[str, str] = {}
        self._outputs: dict[str, str] = {}
        self._optional: set[str] = set()
        names: set[str] = set()
        for stage in self.stages:
            if stage.name in names:
                raise SchemaError(f"the name {stage.name!r} is taken twice.", where="stages")
            names.add(stage.name)
            self._connect(stage, stage.artifact.signature())

    def _connect(self, stage: Stage, signature: Signature) -> None:
        for column in stage.inputs:
            if column not in signature.inputs:
                known = ", ".join(signature.inputs)
                raise SchemaError(f"the stage takes no {column!r}.", where=f"stages:{stage.name}", hint=f"It: {known}.")
        for column, kind in signature.inputs.items():
            source = stage.source(column)
            if source not in self._outputs:
                if column not in signature.optional:
                    self._optional.discard(source)
                elif source not in self._inputs:
                    self._optional.add(source)
                self._inputs.setdefault(source, kind)
        for column, kind in signature.outputs.items():
            if column in self._outputs or column in self._inputs:
                raise SchemaError(f"the column {column!r} exists already.", where=f"stages:{stage.name}")
            self._outputs[column] = kind
            if column in signature.optional:
                self._optional.add(column)

    def __getitem__(self, name: str) -> Artifact:
        """The artifact of the stage of that name."""
        for stage in self.stages:
            if stage.name == name:
                return stage.artifact
        raise KeyError(name)

    def signature(self) -> Signature:
        optional = tuple(column for column in (*self._inputs, *self._outputs) if column in self._optional)
        return Signature(dict(self._inputs), dict(self._outputs), optional)

    def predict(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """The input columns of the signature to its output columns. Raises SchemaError for a missing column."""
        for column in self._inputs:
            if column not in batch and column not in self._optional:
                given = ", ".join(map(str, batch)) or "nothing"
                raise SchemaError(f"the column {column!r} is missing.", where="predict", hint=f"Given: {given}.")
        columns = dict(batch)
        answer: dict[str, Any] = {}
        for stage in self.stages:
            sources = {column: stage.source(column) for column in stage.artifact.signature().inputs}
            needed = {column: columns[source] for column, source in sources.items() if source in columns}
            answer.update(stage.artifact.predict(needed))
            columns.update(answer)
        return answer

    def to_arrays(self) -> Arrays:
        stages = [{"name": stage.name, "inputs": dict(stage.inputs)} for stage in self.stages]
        return Arrays(params={"stages": stages}, parts={stage.name: stage.artifact for stage in self.stages})

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        return cls(
            [Stage(held["name"], arrays.parts[held["name"]], held["inputs"]) for held in arrays.params["stages"]]
        )
