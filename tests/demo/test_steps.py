"""The demo's pipeline is the one that its steps and its plan speak of."""

from itertools import pairwise

from palate.demo.plan import SERVED, TRAINED, Plan, Ports
from palate.demo.steps import JOBS, PIPELINE, State, pipeline_command
from palate.spark.pipeline.options import open_pipeline


def test_the_pipeline_writes_where_the_plan_says(tmp_path):
    data = tmp_path / "my ${own} data"
    data.mkdir()
    plan = Plan(tmp_path / "home", data, ports=Ports(1, 2, 3))
    command = pipeline_command(plan, State(data=data))
    settings = [value for option, value in pairwise(command) if option == "--set"]
    graph = open_pipeline(PIPELINE, settings, None, plan.home).graph
    assert tuple(graph.steps) == JOBS, "each after those it needs: only then does its start mean that they are done"
    assert graph.steps["prepare"].inputs == {"input": data}
    written = {name: step.outputs["output"] for name, step in graph.steps.items()}
    assert written == {
        "prepare": plan.prepared,
        "segment": plan.segments,
        **{model: plan.bundle(model) for model in TRAINED},
        "recommend": plan.recommendations,
    }
    assert graph.steps["recommend"].inputs["bundle"] == plan.bundle(SERVED)
