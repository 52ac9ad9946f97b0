"""A pipeline's file, read strictly, resolved, and drawn. Nothing here starts Spark."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from palate.cli.job import jobs
from palate.errors import InputError
from palate.spark.pipeline.commands import pipeline
from palate.spark.pipeline.document import read_document
from palate.spark.pipeline.drawing import lanes
from palate.spark.pipeline.graph import Graph, build
from palate.spark.pipeline.jobs import find_job, job_names
from palate.spark.pipeline.svg import crossings, layered, ordered, placed

EXAMPLE = jobs()["pipeline"][0].with_name("pipeline.yaml")
SHORT = """
vars:
  data: raw
  factors: 8
steps:
  prepare:
    options:
      input: ${vars.data}
      output: out/prepared
      max-rejects: 0.5
  als:
    job: train_mf
    options:
      input: ${prepare.output}
      output: ${prepare.output}-als
      set: {factors: "${vars.factors}", regularization: "0.1"}
      seed: 3
  top:
    job: recommend
    options: {bundle: "${als.output}", input: "${prepare.output}", output: out/top, include_seen: true}
"""
Load = Callable[..., Graph]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load(text: str = SHORT, *settings: str) -> Graph:
        (tmp_path / "shop.yaml").write_text(text)
        return build(read_document(tmp_path / "shop.yaml"), settings)

    return load


def test_references_become_values_and_edges(load: Load, tmp_path: Path) -> None:
    graph = load()
    assert graph.name == "shop"
    assert {name: step.needs for name, step in graph.steps.items()} == {
        "prepare": (),
        "als": ("prepare",),
        "top": ("prepare", "als"),
    }
    prepare, als, top = graph.steps.values()
    assert prepare.inputs == {"input": tmp_path / "raw"}
    assert prepare.params["max_rejects"] == 0.5
    assert prepare.params["test"] == 0.2  # a default
    assert als.outputs == {"output": tmp_path / "out" / "prepared-als"}
    assert als.params["set"] == ["factors=8", "regularization=0.1"]
    assert als.params["model"] == "als"
    assert top.params["include_seen"] is True
    assert "--include-seen" in top.words
    assert graph.edges() == {"prepare": (), "als": ("prepare",), "top": ("als",)}


def test_the_command_line_changes_variables_options_and_parameters(load: Load) -> None:
    steps = load(
        SHORT, "factors=16", "als.seed=5", "als.set.iterations=2", "als.alpha=4", "top.include_seen=false"
    ).steps
    assert steps["als"].params["set"] == ["factors=16", "regularization=0.1", "iterations=2", "alpha=4"]
    assert steps["als"].params["seed"] == 5
    assert steps["top"].params["include_seen"] is False
    assert load(SHORT, "prepare.split=random").steps["prepare"].params["split"] == "random"


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("factors", "is not NAME=VALUE"),
        ("wings=2", "no variable 'wings'"),
        ("bald.input=2", "no step 'bald'"),
        ("prepare.factors=2", "no option 'factors'"),
        ("als.seed=many", "--set als.seed: step als"),
    ],
)
def test_bad_settings_are_named(load: Load, setting: str, words: str) -> None:
    with pytest.raises(InputError) as raised:
        load(SHORT, setting)
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("job: recommend", "job: recomend", r":19:10: there is no job 'recomend'. Did you mean recommend\?"),
        ("job: recommend", "job: pipeline", ":19:10: a pipeline cannot be a step"),
        ("max-rejects", "max-reject", r":10:7: the job prepare has no option 'max_reject'. Did you mean max_rejects\?"),
        ("max-rejects: 0.5", "max-rejects: 5", ":10:7: step prepare: Invalid value for '--max-rejects'"),
        ("      output: out/prepared\n", "", "no output"),
        ("${als.output}", "${alz.output}", r":20:23: there is no step 'alz'. Did you mean als\?"),
        ("${als.output}", "${als.bundle}", ":20:23: the job train_mf of step als has no 'bundle'"),
        ("${als.output}", "${als.segments}", "the option segments of step als is not given"),
        ("${als.output}", "${als}", "'\\${als}' is no reference"),
        ("${als.output}", "${als.output", ":20:23: a reference has no end"),
        ("${vars.factors}", "${vars.wings}", "no variable 'wings'. There are: data, factors"),
        ("data: raw", "data: ${vars.factors}", "no variable 'factors'.*further down"),
        ("data: raw", "data: ${als.seed}", "a variable cannot refer to a step"),
        ("input: ${vars.data}", "input: ${top.output}", "circle: prepare -> top -> prepare"),
        ("input: ${vars.data}", "input: hdfs://x/y", ":8:14: 'hdfs://x/y' is on another file system"),
        ("include_seen: true", "include_seen: 2", "is a flag: true or false, not '2'"),
        ("seed: 3", "seed: [3, 4]", "seed: takes one value, not a list"),
        ("seed: 3", "seed: {a: 3}", "seed: takes no mapping"),
        ("seed: 3", "seed: [[3]]", "must be a single value"),
        ("seed: 3", "seed: 3\n      seed: 4", "'seed' is there twice; first in line 17"),
        ("  top:", "  als:", ":18:3: 'als' is there twice; first in line 11"),
        ("  top:", "  vars:", "a step cannot be called 'vars'"),
        ("  top:", "  a b:", "a step cannot be called 'a b'"),
        ("output: out/top", "output: out/prepared", "steps prepare and top both write to"),
        ("output: out/top", "output: out/prepared/top", "steps prepare and top both write to"),
        ("output: out/top", "output: raw/top", "step top writes to .*, inside what step prepare reads"),
        ('bundle: "${als.output}"', "bundle: out/prepared-als", r"does not say so .*Write \${als.output}"),
        ("    job: train_mf", "    job: train_mf\n    retries: 3", ":13:5: step als has no 'retries'. It has: job"),
        ("vars:", "variables:", "a pipeline has no 'variables'"),
        ("steps:", "steps: [", "is no YAML"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(load: Load, old: str, new: str, words: str) -> None:
    assert old in SHORT
    with pytest.raises(InputError) as raised:
        load(SHORT.replace(old, new, 1))
    message = str(raised.value)
    if words == "no output":
        words = "Missing option '--output'"
    assert re.search(words, message), message
    assert "shop.yaml:" in message


def test_what_is_no_pipeline_is_refused(load: Load, tmp_path: Path) -> None:
    for text, words in (
        ("", "is empty"),
        ("a: b: c", "is no YAML"),
        ("[1]", "must be a mapping"),
        ("steps: {}", "no steps"),
    ):
        with pytest.raises(InputError, match=words):
            load(text)
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    for name, words in (("bytes.yaml", "not UTF-8"), ("missing.yaml", "No such file")):
        with pytest.raises(InputError, match=words):
            read_document(tmp_path / name)


def test_steps_may_stand_in_any_order_and_wait_for_others(load: Load) -> None:
    text = SHORT.replace(
        "  prepare:\n",
        "  first:\n    job: prepare\n    after: [top]\n    options: {input: a, output: b}\n  prepare:\n",
        1,
    )
    assert list(load(text).steps) == ["prepare", "als", "top", "first"]
    text = text.replace("    after: [top]\n", "    after: top\n    inputs: [more, ../other]\n")
    step = load(text).steps["first"]
    assert step.needs == ("top",)
    assert [path.name for path in step.inputs.values()] == ["a", "more", "other"]


def test_dollars_can_be_plain(load: Load) -> None:
    steps = load(SHORT.replace("output: out/top", 'output: "out/$${top}"')).steps
    assert steps["top"].outputs["output"].name == "${top}"


def test_every_job_can_be_a_step(load: Load) -> None:
    for name in job_names():
        job = find_job(name)
        assert any(job.writes(option) for option in job.options), name
        assert all(job.reads(option) for option in ("input", "bundle", "segments") if option in job.options), name
        assert all(path.is_file() for path in job.sources)


def test_the_example_can_be_drawn_in_every_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PALATE_HOME", str(tmp_path / "home"))
    graph = build(read_document(EXAMPLE))
    drawn = {}
    for format_ in ("text", "mermaid", "dot", "svg"):
        done = CliRunner().invoke(pipeline, ["graph", str(EXAMPLE), "--format", format_], catch_exceptions=False)
        assert done.exit_code == 0
        drawn[format_] = done.output
        assert all(name in done.output for name in graph.steps)
    edges = sum(len(needs) for needs in graph.edges().values())
    assert drawn["mermaid"].count(" --> ") == drawn["dot"].count(" -> ") == edges
    picture = ElementTree.fromstring(drawn["svg"])  # noqa: S314  # our own
    assert len([one for one in picture.iter() if one.get("class") == "box"]) == len(graph.steps)
    assert len([one for one in picture.iter() if one.get("class") == "edge"]) == edges


def test_boxes_keep_apart_and_edges_from_crossing() -> None:
    needs: dict[str, tuple[str, ...]] = {"a": (), "b": (), "c": ("b",), "d": ("a",), "e": ("c", "d"), "f": ("a", "e")}
    layers, chains = layered(needs)
    assert crossings(layers, chains) == 2
    ordered(layers, chains)
    assert crossings(layers, chains) == 0
    middle = placed(layers, chains)
    for layer in layers:
        ys = sorted((middle[node], node) for node in layer)
        for (above, one), (below, other) in pairwise(ys):
            sizes = [18 if ">" in node[0] else 62 for node in (one, other)]
            assert below - above >= sum(sizes) / 2


def test_lanes_follow_the_steps_that_are_waited_for(load: Load) -> None:
    assert list(lanes(load()).values()) == ["◆", "◆", "◆"]
    fork = SHORT.replace('bundle: "${als.output}", input', "bundle: x, input")
    assert list(lanes(load(fork)).values()) == ["◆", "├─◆", "◆"]
