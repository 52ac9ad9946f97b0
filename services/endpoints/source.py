"""Where a deployed model comes from: a bundle on this machine or a registered version, whole or one part of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from palate.bundle import load_bundle
from palate.bundle.manifest import manifest_bytes
from palate.errors import BundleDamagedError, ParameterError
from palate.models.pipeline import ArtifactPipeline
from palate.models.protocol import Artifact

Resolve = Callable[[str, str], tuple[str, Path]]
"""(registered model, version or alias) to (version, the bundle's directory), as `Tracker.resolve`."""


@dataclass(frozen=True)
class Source:
    """Either `bundle`, a directory, or `model` and `version` in the registry.

    part: the name of a stage of a pipeline, which is then served alone; empty for the whole.
    """

    bundle: str = ""
    model: str = ""
    version: str = ""
    part: str = ""

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Source:
        return cls(**document)

    @property
    def label(self) -> str:
        """For people: names no place on this machine."""
        whole = f"{self.model}/{self.version}" if self.model else Path(self.bundle).name
        return f"{whole} ({self.part})" if self.part else whole

    def document(self) -> dict[str, str]:
        return asdict(self)


@dataclass(frozen=True)
class Loaded:
    """A model in memory. `source` names the version where an alias was asked for."""

    artifact: Artifact
    source: Source
    digest: str


def load(source: Source, resolve: Resolve, *, digest: str | None = None) -> Loaded:
    """The model, checked and mapped.

    digest: what the manifest's sha256 must be. Raises BundleError saying what is wrong with the bundle,
    BundleDamagedError if it is another one than was deployed, RegistryError if the registry lacks it or is away,
    ParameterError if it has no such part.
    """
    if source.model:
        version, path = resolve(source.model, source.version)
        source = Source(model=source.model, version=version, part=source.part)
    else:
        path = Path(source.bundle)
    found = hashlib.sha256(manifest_bytes(path)[1]).hexdigest()
    if digest is not None and found != digest:
        raise BundleDamagedError(
            "another bundle lies here now than was deployed.", where=str(path), hint="Deploy the endpoint again."
        )
    artifact = load_bundle(path)
    if source.part:
        artifact = _part(artifact, source.part)
    artifact.signature()  # what cannot say its columns cannot be asked
    return Loaded(artifact, source, found)


def _part(artifact: Artifact, name: str) -> Artifact:
    if not isinstance(artifact, ArtifactPipeline):
        raise ParameterError(f"a {artifact.kind} has no parts.", where="part", hint="Only a pipeline has.")
    try:
        return artifact[name]
    except KeyError:
        known = ", ".join(stage.name for stage in artifact.stages)
        raise ParameterError(
            f"the pipeline has no part {name[:80]!r}.", where="part", hint=f"It has: {known}."
        ) from None
