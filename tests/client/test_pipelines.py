"""What stands on disk is read as the stages that it is, or refused with its place."""

from __future__ import annotations

import json

import pytest

from palate.bundle import write_bundle
from palate.client.pipelines import endpoint_names, snippet, stages_of
from palate.errors import BundleDamagedError, BundleError, ParameterError
from palate.models.factorization_machine import FactorizationMachine
from palate.models.kmeans import KMeans
from palate.models.pca import PCA
from palate.models.pipeline import ArtifactPipeline, Stage

TWO = [
    Stage("to_plane", PCA([[1, 2, 3], [4, 5, 6]])),
    Stage("km", KMeans([[0, 0], [1, 1]]), {"features": "projection"}),
]


@pytest.fixture
def bundle(tmp_path):
    write_bundle(ArtifactPipeline(TWO), tmp_path / "digits_2")
    return tmp_path / "digits_2"


def saved_stage(folder, name, artifact, **params):
    """As pyspark.ml and palate.spark write a stage; tests/spark/stages/test_endpoint.py does it with Spark itself."""
    (folder / "metadata").mkdir(parents=True)
    document = {"class": f"palate.spark.{name}", "paramMap": params, "defaultParamMap": {"predictionCol": "prediction"}}
    (folder / "metadata" / "part-00000-x.txt").write_text(json.dumps(document) + "\n")
    if artifact is not None:
        write_bundle(artifact, folder / "bundle")


def saved(folder, *stages):
    (folder / "metadata").mkdir(parents=True)
    uids = [f"{name}_{number}" for number, (name, _, _) in enumerate(stages)]
    document = {"class": "pyspark.ml.pipeline.PipelineModel", "paramMap": {"stageUids": uids}, "defaultParamMap": {}}
    (folder / "metadata" / "part-00000").write_text(json.dumps(document) + "\n")
    for number, (name, artifact, params) in enumerate(stages):
        saved_stage(folder / "stages" / f"{number}_{uids[number]}", name, artifact, **params)


def test_the_parts_of_a_bundle(bundle):
    first, second = stages_of(bundle)
    assert (first.name, first.kind, first.input, first.outputs) == ("to_plane", "pca", "features", ("projection",))
    assert (second.name, second.kind, second.input, second.outputs) == ("km", "kmeans", "projection", ("cluster",))
    assert second.source() == {"bundle": str(bundle), "part": "km"}
    assert endpoint_names([first, second], "digits_2-") == ["digits-2-to-plane", "digits-2-km"]


def test_the_stages_of_a_saved_model(tmp_path):
    saved(
        tmp_path / "m",
        ("PCAModel", TWO[0].artifact, {"inputCol": "pixels", "outputCol": "p"}),
        ("PCAModel", PCA([[1, 0], [0, 1]]), {"inputCol": "p", "outputCol": "q"}),
        ("KMeansModel", TWO[1].artifact, {"featuresCol": "q"}),
        ("FMClassificationModel", FactorizationMachine(0, [1, 2], [[1], [2]], "classification"), {"featuresCol": "q"}),
    )
    found = stages_of(tmp_path / "m")
    assert [(stage.name, stage.kind, stage.input, stage.outputs, stage.part) for stage in found] == [
        ("pca", "pca", "pixels", ("p",), ""),
        ("pca-2", "pca", "p", ("q",), ""),
        ("kmeans", "kmeans", "q", ("prediction",), ""),
        ("fm", "fm", "q", ("score", "prediction"), ""),
    ]
    assert found[0].source()["bundle"] == str(tmp_path / "m" / "stages" / "0_PCAModel_0" / "bundle")


def test_the_snippet_is_python(bundle):
    stages = stages_of(bundle)
    text = snippet(stages, endpoint_names(stages, ""), "http://h:1")
    compile(text, "snippet", "exec")
    assert "endpointName='km', kind='kmeans'" in text
    assert "inputCol='projection', outputCol='cluster'" in text


def test_what_is_no_pipeline_is_refused(tmp_path, bundle):
    with pytest.raises(BundleError, match="no bundle here"):
        stages_of(tmp_path / "nowhere")
    write_bundle(TWO[1].artifact, tmp_path / "km")
    with pytest.raises(ParameterError, match="a kmeans, not a pipeline"):
        stages_of(tmp_path / "km")
    next((bundle / "parts").rglob("*.npy")).unlink()
    with pytest.raises(BundleDamagedError, match="missing"):
        stages_of(bundle)


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        (("StandardScalerModel", None, {"inputCol": "a", "outputCol": "b"}), "holds no bundle"),
        (("ALSModel", TWO[0].artifact, {"userCol": "user"}), "no column of vectors"),
    ],
)
def test_a_stage_that_no_endpoint_can_be_is_refused(tmp_path, stage, words):
    saved(tmp_path / "m", stage)
    with pytest.raises(ParameterError, match=words):
        stages_of(tmp_path / "m")


def test_metadata_that_cannot_be_read(tmp_path):
    saved(tmp_path / "m", ("PCAModel", TWO[0].artifact, {"inputCol": "a", "outputCol": "b"}))
    part = next((tmp_path / "m" / "stages").glob("*/metadata/part-*"))
    for text in ("", "{", "[]", '{"class": "x"}'):
        part.write_text(text)
        with pytest.raises(BundleError, match="metadata cannot be read"):
            stages_of(tmp_path / "m")
