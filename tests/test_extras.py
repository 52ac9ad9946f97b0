"""Each extra installs alone and imports alone, in a fresh environment, and pulls nothing it must not.

One environment gets the library; each extra gets an environment of its own on top of it, so that pip resolves and
installs exactly what the extra adds. `text` needs torch and gets one on top of that of `torch`, which is large.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

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


def make(environment, wheel, extra, base=None):
    """An environment with the wheel and one extra; on top of `base` if given."""
    venv.create(environment, with_pip=False)
    if base is not None:
        (site(environment) / "base.pth").write_text(f"import site; site.addsitedir({str(site(base))!r})\n")
    wanted = f"palate{f'[{extra}]' if extra else ''} @ {wheel.as_uri()}"
    python = environment / "bin" / "python"
    quiet = ["--quiet", "--no-compile", "--constraint", str(ROOT / "constraints.txt")]
    pip = [*PIP, "--python", str(python), "install", *quiet]
    run([*pip, wanted])
    if extra == "mxnet":
        told = subprocess.run([*pip, "--no-deps", "mxnet==1.9.1"], capture_output=True, check=False)
        assert told.returncode == 0 or sys.platform != "linux", told.stderr
    return python


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    reached = subprocess.run(
        [*PIP, "download", "--quiet", "--no-deps", "--no-cache-dir", "-d", str(folder / "probe"), "setuptools"],
        capture_output=True,
        check=False,
        timeout=120,
    )
    if reached.returncode:
        pytest.skip("pip reaches no package index on this machine")
    source = folder / "source"  # setuptools leaves its build folder in the tree that it builds
    ignored = shutil.ignore_patterns(".git", ".venv", ".palate", "*.egg-info", "build", "__pycache__", ".*_cache")
    shutil.copytree(ROOT, source, ignore=ignored)
    run([*PIP, "wheel", "--quiet", "--no-deps", "-w", str(folder), str(source)])
    return next(folder.glob("palate-*.whl"))


@pytest.fixture(scope="module")
def base(wheel, tmp_path_factory):
    environment = tmp_path_factory.mktemp("base") / "env"
    make(environment, wheel, None)
    return environment


def imports(python, modules):
    script = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"
    run([python, "-c", script, *modules.split()], cwd="/", env={**os.environ, "PYTHONPATH": ""})


def absent(python, modules):
    script = "import importlib.util as u, sys\nprint(*[n for n in sys.argv[1:] if u.find_spec(n)])"
    assert run([python, "-c", script, *modules.split()], cwd="/").strip() == ""


def test_the_library_alone(base):
    imports(base / "bin" / "python", LIBRARY)
    absent(base / "bin" / "python", "pyspark flask torch mxnet label_studio_sdk granian")
    for told in (["--help"], ["--version"], ["evaluate", "--help"], ["bundle", "--help"]):
        assert "Traceback" not in run([base / "bin" / "palate", *told])


@pytest.fixture(scope="module")
def environments(base, wheel, tmp_path_factory):
    """Makes the environment of an extra; they go at the end of the module."""
    folder, made = tmp_path_factory.mktemp("environments"), {}

    def environment(extra):
        if extra not in made:
            under = environment("torch").parents[1] if extra == "text" else base
            made[extra] = make(folder / extra, wheel, extra, under)
        return made[extra]

    yield environment
    shutil.rmtree(folder)  # some are gigabytes


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_alone(extra, environments):
    wanted, unwanted = EXTRAS[extra]
    python = environments(extra)
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
