"""The numpy artifacts that Spark pipelines end up as: PCA, KMeans and the pipeline of both."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from palate.errors import PalateError, SchemaError
from palate.models.kmeans import KMeans
from palate.models.pca import PCA
from palate.models.pipeline import ArtifactPipeline, Stage


@pytest.fixture
def pipeline() -> ArtifactPipeline:
    pca = PCA([[1, 0, 0], [0, 1, 0]])
    kmeans = KMeans([[0, 0], [10, 10]])
    return ArtifactPipeline([Stage("pca", pca), Stage("kmeans", kmeans, {"features": "projection"})])


def test_pca_projects_and_centres() -> None:
    batch = {"features": [[1, 2, 3], [4.5, 5, 6]]}
    assert PCA([[0, 0, 2]]).predict(batch) == {"projection": [[6.0], [12.0]]}
    assert PCA([[0, 0, 2]], mean=[0, 0, 1]).predict(batch) == {"projection": [[4.0], [10.0]]}


def test_kmeans_finds_the_closest_centre_and_a_tie_goes_to_the_lower() -> None:
    answer = KMeans([[0, 0], [3, 4], [3, 4]]).predict({"features": [[0, 0], [3, 4], [0, 5], [1.5, 2]]})
    assert answer["cluster"] == [0, 1, 1, 0]
    assert answer["distance"] == pytest.approx([0, 0, 10**0.5, 2.5])


def test_kmeans_distances_do_not_cancel_far_from_the_origin() -> None:
    centers = np.array([[1e4, 1e4], [1e4 + 1, 1e4]], np.float32)
    clusters, distances = KMeans(centers).assign(np.array([[1e4 + 0.75, 1e4]], np.float32))
    assert clusters.tolist() == [1]
    assert distances.tolist() == pytest.approx([0.25])


def test_the_pipeline_gives_every_stage_s_columns(pipeline: ArtifactPipeline) -> None:
    answer = pipeline.predict({"features": [[9, 9, 5], [0, 0, 7]]})
    assert answer["projection"] == [[9, 9], [0, 0]]
    assert answer["cluster"] == [1, 0]
    assert dict(pipeline.signature().inputs) == {"features": "list<float>"}
    assert list(pipeline.signature().outputs) == ["projection", "cluster", "distance"]


def test_taken_apart_and_put_together_it_answers_the_same(pipeline: ArtifactPipeline) -> None:
    again = ArtifactPipeline.from_arrays(pipeline.to_arrays())
    batch = {"features": np.random.default_rng(0).normal(size=(20, 3))}
    assert again.predict(batch) == pipeline.predict(batch)
    part = PCA.from_arrays(PCA([[1, 2]], [3, 4], [0.5]).to_arrays())
    assert part.mean is not None
    assert part.mean.tolist() == [3, 4]


@pytest.mark.parametrize(
    ("batch", "place"),
    [
        ({}, "predict"),
        ({"feature": [[1, 2, 3]]}, "predict"),
        ({"features": "abc"}, "features"),
        ({"features": 3}, "features"),
        ({"features": None}, "features"),
        ({"features": [1, 2, 3]}, "features:0"),
        ({"features": [[1, 2, 3], [1, 2]]}, "features:1"),
        ({"features": [[1, 2]]}, "features"),
        ({"features": [[1, 2, 3], ["a", 2, 3]]}, "features:1:0"),
        ({"features": [["1", "2", "3"]]}, "features:0:0"),
        ({"features": [[1, 2, None]]}, "features:0:2"),
        ({"features": [[True, False, True]]}, "features:0:0"),
        ({"features": [[1, 2, float("nan")]]}, "features:0:2"),
        ({"features": [[1, 2, 1e300]]}, "features:0:2"),
        ({"features": [[[1], [2], [3]]]}, "features"),
    ],
)
def test_bad_input_is_refused_with_its_place(pipeline: ArtifactPipeline, batch: dict[str, Any], place: str) -> None:
    with pytest.raises(SchemaError) as caught:
        pipeline.predict(batch)
    assert (caught.value.where or "").startswith(place)


def test_no_rows_give_no_rows(pipeline: ArtifactPipeline) -> None:
    assert pipeline.predict({"features": []}) == {"projection": [], "cluster": [], "distance": []}


@pytest.mark.parametrize("bad", [[], [[]], [1, 2], [[float("inf")]], [["a"]]])
def test_parameters_that_are_no_matrix_are_refused(bad: Any) -> None:
    for make in (PCA, KMeans):
        with pytest.raises(PalateError):
            make(bad)


def test_a_pipeline_that_does_not_connect_is_refused() -> None:
    kmeans = KMeans([[0, 0]])
    for stages in (
        [],
        [Stage("a", kmeans), Stage("a", kmeans)],
        [Stage("a", kmeans), Stage("b", kmeans)],
        [Stage("a", kmeans, {"nothing": "x"})],
    ):
        with pytest.raises(SchemaError):
            ArtifactPipeline(stages)
