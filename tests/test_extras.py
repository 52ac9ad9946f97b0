"""Each extra suffices alone: what it names, with all that that needs, imports, and what it must not pull is not there.

The wheel gets a fresh environment for each extra. What pip would install beside it is linked from the environment that
the tests run in, where pip has resolved and installed all of it: so nothing is unpacked a second time.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections import defaultdict
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from palate.packaging import needed

ROOT = Path(__file__).parents[1]
PIP = [sys.executable, "-m", "pip"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

LIBRARY = (
    "palate.cli palate.dataset.readers palate.features palate.models.popularity palate.models.als "
    "palate.models.content palate.models.blend palate.models.pca palate.models.kmeans palate.models.pipeline "
    "palate.bundle palate.client.endpoints palate.client.recommender palate.tracking palate.evaluation palate.store "
    "palate.engines palate.doctor"
)
WEB = "palate.web palate.web.serve"

# extra: (what must import, what must not be there)
EXTRAS = {
    "serve": (
        f"{WEB} services.recommender.app services.recommender.cli services.endpoints.cli",
        "pyspark torch mxnet label_studio_sdk",
    ),
    "labeling": (f"{WEB} labeling.app labeling.cli label_studio_sdk", "pyspark torch mxnet"),
    "spark": (
        "palate.spark.session palate.spark.stages.endpoint spark_jobs.prepare spark_jobs.segment spark_jobs.train_mf "
        "spark_jobs.recommend",
        "flask torch mxnet",
    ),
    "torch": ("torch", "pyspark flask mxnet"),
    "mxnet": ("requests", "pyspark flask torch"),
    "text": ("sentence_transformers", "pyspark flask mxnet"),
}


def run(command, **options):
    told = subprocess.run(command, capture_output=True, text=True, timeout=800, check=False, **options)
    assert told.returncode == 0, f"{command}\n{told.stdout[-3000:]}\n{told.stderr[-3000:]}"
    return told.stdout


def site(environment):
    return Path(sysconfig.get_path("purelib", "venv", {"base": str(environment), "platbase": str(environment)}))


@cache
def installed():
    """What lies beside each other in this environment's packages, each with the files of every distribution in it."""
    found = defaultdict(lambda: defaultdict(list))
    for each in metadata.distributions():
        name = canonicalize_name(each.name)
        for line in (each.read_text("RECORD") or "").splitlines():
            path = line.rpartition(",")[0].rpartition(",")[0].strip('"')
            if not path.startswith(".."):  # programs are elsewhere
                found[path.split("/")[0]][name].append(path)
    return found


def make(environment, wheel, extra):
    """An environment with the wheel and what it needs with one extra; how to call its Python."""
    venv.create(environment, with_pip=False)
    names = needed([extra] if extra else []).keys() - {"palate"}
    if extra == "mxnet" and sys.platform == "linux":
        names.add("mxnet")
    here, there = Path(sysconfig.get_path("purelib")), site(environment)
    for top, owners in installed().items():
        if owners.keys() <= names:
            (there / top).symlink_to(here / top)
            continue
        for path in [path for name in owners.keys() & names for path in owners[name]]:
            (there / path).parent.mkdir(parents=True, exist_ok=True)
            (there / path).symlink_to(here / path)
    python = environment / "bin" / "python"
    run([*PIP, "--python", str(python), "install", "--quiet", "--no-deps", "--no-index", str(wheel)])
    return python


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # setuptools leaves its build folder in the tree that it builds
    ignored = shutil.ignore_patterns(".git", ".venv", ".palate", "*.egg-info", "build", "__pycache__", ".*_cache")
    shutil.copytree(ROOT, source, ignore=ignored)
    run([*PIP, "wheel", "--quiet", "--no-deps", "-w", str(folder), str(source)])
    return next(folder.glob("palate-*.whl"))


def imports(python, modules):
    script = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"
    run([python, "-c", script, *modules.split()], cwd="/", env={**os.environ, "PYTHONPATH": ""})


def absent(python, modules):
    script = "import importlib.util as u, sys\nprint(*[n for n in sys.argv[1:] if u.find_spec(n)])"
    assert run([python, "-c", script, *modules.split()], cwd="/").strip() == ""


def test_the_library_alone(wheel, tmp_path):
    python = make(tmp_path / "env", wheel, "")
    imports(python, LIBRARY)
    absent(python, "pyspark flask torch mxnet label_studio_sdk granian")
    for told in (["--help"], ["--version"], ["evaluate", "--help"], ["bundle", "--help"]):
        assert "Traceback" not in run([python.parent / "palate", *told])


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_alone(extra, wheel, tmp_path):
    wanted, unwanted = EXTRAS[extra]
    python = make(tmp_path / "env", wheel, extra)
    imports(python, wanted)
    absent(python, unwanted)
    if extra == "mxnet" and sys.platform == "linux":
        run([python, "-c", "from palate.engines import import_mxnet; import_mxnet().nd.ones(2).asnumpy()"], cwd="/")


def test_all_and_dev_are_what_make_installs():
    """`all` holds every other extra but that of the peers; `make` installs `all` and `dev`: what these tests run in."""
    text = (ROOT / "pyproject.toml").read_text()
    extras = set(
        re.findall(r"^([a-z]+) = \[", text.split("[project.optional-dependencies]")[1].split("[project.")[0], re.M)
    )
    held = re.search(r"^all = \[\"palate\[(.*)\]\"\]", text, re.M)
    assert held is not None
    assert set(held[1].split(",")) == extras - {"all", "dev", "peers"}
    assert "'.[all,dev]'" in (ROOT / "Makefile").read_text()
