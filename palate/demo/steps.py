"""The demo's steps, in order. Each is a function of the plan and the processes, with a line of what it does.

The Spark jobs, which are one pipeline, and the servers are processes of their own, started as a user would start them;
the rest happens here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from palate.dataset.demo_data import demo_folder
from palate.demo.measure import Cold, Score
from palate.demo.measure import measure as measured
from palate.demo.plan import HOST, SERVED, TRAINED, Plan
from palate.demo.processes import Processes, palate_command
from palate.doctor import JAVA_VERSIONS, find_java, java_remedy
from palate.errors import MissingDependencyError
from palate.store import Accounts, open_engine
from palate.tracking import Tracker

API_SCOPES = ("recommend", "events", "catalogue", "deployments", "metrics")
LABEL_SCOPES = ("label", "label:manage")
LABELED_ITEMS = 500
PIPELINE = Path(__file__).with_name("pipeline.yaml")
JOBS = ("prepare", "segment", *TRAINED, "recommend")
"""The steps of PIPELINE, in the order in which they run."""
SMALL_BYTES = 64 * 1024**2
"""Data below this is small in the sense of `palate job --quick`."""


@dataclass
class State:
    """What the steps hand on to each other and to the report."""

    data: Path = Path()
    scores: list[Score] = field(default_factory=list)
    cold: Cold | None = None
    versions: dict[str, str] = field(default_factory=dict)
    token: str = ""
    dashboard_link: str = ""
    label_link: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


Step = Callable[[Plan, Processes, State], None]


def find_data(plan: Plan, processes: Processes, state: State) -> None:
    """find the data"""
    java = find_java()
    if java is None or not java.usable:
        versions = " or ".join(map(str, JAVA_VERSIONS))
        raise MissingDependencyError(f"Spark needs a JDK {versions}.", hint=f"{java_remedy()}  (`palate doctor`)")
    state.data = demo_folder(plan.data, plan.settings.cache, state.notes.append)


def start_mlflow(plan: Plan, processes: Processes, state: State) -> None:
    """start MLflow"""
    artifacts = plan.home / "mlflow-artifacts"
    processes.start(
        "mlflow",
        [
            *(sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(plan.ports.mlflow)),
            *("--workers", "1", "--backend-store-uri", plan.settings.tracking, "--default-artifact-root", artifacts),
        ],
        # No word to anybody, and no workers for what the demo has no use for.
        {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
    )


def pipeline_command(plan: Plan, state: State) -> list[str]:
    """`palate job pipeline`, in the way that suits the amount of data. What an earlier demo did on the same data by the
    same code is not done again."""
    files = [state.data] if state.data.is_file() else state.data.rglob("*")
    quick = sum(file.stat().st_size for file in files if file.is_file()) < SMALL_BYTES
    return palate_command(
        "job",
        *(["--quick"] if quick else []),
        *("pipeline", PIPELINE, "--root", plan.home, "--state", plan.home / "pipeline", "--overwrite"),
        *("--set", f"data={state.data.absolute()}".replace("${", "$${")),
        *("--no-track", "--parallel", 1),  # MLflow gets the models when they are measured; seconds are each step's own
    )


def until(processes: Processes, step: str) -> None:
    """Wait until the pipeline has come to this step, or to a later one where nothing has changed for this."""
    processes.wait_until_said("pipeline", [f"{name}: runs:" for name in JOBS[JOBS.index(step) :]])


def prepare(plan: Plan, processes: Processes, state: State) -> None:
    """prepare: validate, index, split (Spark)"""
    processes.start("pipeline", pipeline_command(plan, state))
    until(processes, "segment")


def segment(plan: Plan, processes: Processes, state: State) -> None:
    """segment: PCA → k-means (Spark)"""
    until(processes, TRAINED[0])


def train(plan: Plan, processes: Processes, state: State) -> None:
    """train: matrix factorization, alone and blended with content (Spark)"""
    until(processes, "recommend")


def recommend(plan: Plan, processes: Processes, state: State) -> None:
    """recommend: top 10 for every user (Spark)"""
    processes.wait_until_ended("pipeline")


def measure(plan: Plan, processes: Processes, state: State) -> None:
    """evaluate: every model beside popularity"""
    state.scores, state.cold = measured(plan)


def register(plan: Plan, processes: Processes, state: State) -> None:
    """register the models, promote the champion"""
    processes.wait_until_ready("mlflow", f"{plan.mlflow}/health")
    tracker = Tracker(plan.settings)
    found = {score.model: score for score in state.scores}
    for model in TRAINED:
        metrics = {"ndcg@10": found[model].ndcg, "recall@20": found[model].recall, "coverage@20": found[model].coverage}
        info = tracker.log_model(
            plan.bundle(model), run_name=model, metrics=metrics, register_as=plan.settings.model_name
        )
        state.versions[model] = info.version
        tracker.promote(info.name, info.version, "champion" if model == SERVED else "challenger")


def serve(plan: Plan, processes: Processes, state: State) -> None:
    """start the recommendation API"""
    processes.run("import-items", palate_command("api", "import-items", plan.prepared))
    accounts = Accounts(open_engine(plan.settings.database("recommender")))
    key, state.token = accounts.create_key("demo", API_SCOPES)
    state.dashboard_link = f"{plan.api}/sign-in?code={accounts.create_code(key)}"
    processes.start("api", palate_command("api", "serve", "--host", HOST, "--port", plan.ports.api, "--workers", 2))
    processes.wait_until_ready("api", f"{plan.api}/ready")


def label(plan: Plan, processes: Processes, state: State) -> None:
    """start the labeling service"""
    processes.run(
        "label-project",
        palate_command(
            *("label", "create", "--from", plan.prepared / "items", "--title", "What is it about?"),
            *("--limit", LABELED_ITEMS, "--instructions", "Pick the category that fits best."),
        ),
    )
    accounts = Accounts(open_engine(plan.settings.database("labeling")))
    key, _ = accounts.create_key("demo", LABEL_SCOPES)
    state.label_link = f"{plan.labeling}/sign-in?code={accounts.create_code(key)}"
    processes.start("labeling", palate_command("label", "serve", "--host", HOST, "--port", plan.ports.labeling))
    processes.wait_until_ready("labeling", f"{plan.labeling}/ready")


STEPS: tuple[Step, ...] = (
    find_data,
    start_mlflow,
    prepare,
    segment,
    train,
    recommend,
    measure,
    register,
    serve,
    label,
)


def title(step: Step) -> str:
    return (step.__doc__ or step.__name__).strip()
