"""What a fitted pipeline is made of, as endpoints need to know it: read from its files, without Spark.

A pipeline is an `ArtifactPipeline`'s bundle (what the job `segment` writes), or what pyspark.ml's `PipelineModel.save`
wrote of Palate's stages: metadata beside a bundle for each.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from palate.bundle import load_bundle, read_manifest
from palate.client.endpoints import FIELDS
from palate.errors import BundleError, ParameterError
from palate.models.pipeline import ArtifactPipeline

_INPUTS, _OUTPUTS = ("inputCol", "featuresCol"), ("outputCol", "predictionCol")
"""The Params that name a stage's columns, as pyspark.ml has them."""


@dataclass(frozen=True)
class StageFiles:
    """A stage to deploy. name: within its pipeline. part: the stage's name in the bundle, if that holds more.

    input: the column of vectors that it takes. outputs: the columns that take the first fields of its answer.
    """

    name: str
    kind: str
    bundle: Path
    input: str
    outputs: tuple[str, ...]
    part: str = ""

    def source(self) -> dict[str, str]:
        """What `Endpoint.deploy` takes."""
        return {"bundle": str(self.bundle), "part": self.part}


def stages_of(path: Path) -> list[StageFiles]:
    """The stages of the pipeline at `path`, in order, each of another name.

    Raises BundleError and its kin for a bundle that cannot be read, ParameterError for what is no pipeline, or has a
    stage that is not Palate's.
    """
    root = path.absolute()
    if (root / "metadata").is_dir():
        found = list(_saved(root))
    else:
        found = _parts(root)
    names: list[str] = []
    for number, stage in enumerate(found):
        name = stage.name if stage.name not in names else f"{stage.name}-{number + 1}"
        names.append(name)
        found[number] = replace(stage, name=name)
    return found


def _parts(root: Path) -> list[StageFiles]:
    artifact = load_bundle(root)
    if not isinstance(artifact, ArtifactPipeline):
        raise ParameterError(
            f"this is a {artifact.kind}, not a pipeline.", where=str(root), hint="Use `palate endpoints deploy` for it."
        )
    found = []
    for stage in artifact.stages:
        signature = stage.artifact.signature()
        if len(signature.inputs) != 1:
            raise ParameterError(f"the stage {stage.name!r} takes more than one column of vectors.", where=str(root))
        taken = stage.source(next(iter(signature.inputs)))
        output = next(iter(signature.outputs))
        found.append(StageFiles(stage.name, stage.artifact.kind, root, taken, (output,), part=stage.name))
    return found


def _saved(folder: Path) -> Iterator[StageFiles]:
    metadata = _metadata(folder)
    if str(metadata.get("class", "")).endswith(".PipelineModel"):
        uids = metadata["paramMap"].get("stageUids", [])
        for number, uid in enumerate(uids):
            yield from _saved(folder / "stages" / f"{number:0{len(str(len(uids)))}}_{uid}")
        return
    if not (folder / "bundle").is_dir():
        raise ParameterError(
            f"{metadata.get('class', 'the stage')} holds no bundle.",
            where=str(folder),
            hint="Only fitted stages of palate.spark can be deployed.",
        )
    values = {**metadata.get("defaultParamMap", {}), **metadata["paramMap"]}
    taken, made = (next((values[name] for name in names if name in values), "") for names in (_INPUTS, _OUTPUTS))
    if not taken or not made:
        raise ParameterError(f"{metadata['class']} takes no column of vectors.", where=str(folder))
    kind = read_manifest(folder / "bundle").kind
    # The first field of a classifier's answer is its score, the second the label.
    outputs = ("score", made) if str(metadata["class"]).endswith("ClassificationModel") else (made,)
    yield StageFiles(kind, kind, folder / "bundle", taken, outputs)


def _metadata(folder: Path) -> dict[str, Any]:
    """What Spark ML wrote of a stage: one line of JSON in a part file."""
    try:
        line = next(line for file in sorted(folder.glob("metadata/part-*")) for line in file.read_text().splitlines())
        document = json.loads(line)
        if not isinstance(document, dict) or not isinstance(document.get("paramMap"), dict):
            raise ValueError("it does not name its Params")
    except (StopIteration, OSError, ValueError) as error:
        told = str(error) or "there is none"
        raise BundleError(f"the stage's metadata cannot be read: {told}.", where=str(folder)) from None
    return document


def endpoint_names(stages: Sequence[StageFiles], prefix: str) -> list[str]:
    """A name that an endpoint may have for each stage: the prefix, then the stage's own."""
    return [re.sub(r"[^A-Za-z0-9]+", "-", f"{prefix}{stage.name}").strip("-") for stage in stages]


def snippet(stages: Sequence[StageFiles], names: Sequence[str], url: str) -> str:
    """Python that makes the PipelineModel of the endpoints."""
    lines = ["from pyspark.ml import PipelineModel", "", "from palate.spark import EndpointModel", ""]
    lines += [f"url = {url!r}", "model = PipelineModel(", "    stages=["]
    for stage, name in zip(stages, names, strict=True):
        kind = f", kind={stage.kind!r}" if stage.kind in FIELDS else ""
        lines += ["        EndpointModel("]
        lines += [f"            endpointUrl=url, endpointName={name!r}{kind},"]
        made = f"outputCol={stage.outputs[0]!r}" if len(stage.outputs) == 1 else f"outputCols={[*stage.outputs]!r}"
        lines += [f"            inputCol={stage.input!r}, {made},", "        ),"]
    return "\n".join([*lines, "    ]", ")"]) + "\n"
