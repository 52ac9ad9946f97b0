"""The images: linted, pinned, without root and without secrets; built wherever a Docker engine answers."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "docker" / "Dockerfile"
COMPOSE = ROOT / "docker" / "compose.yaml"
TARGETS = ("api", "labeling", "jobs", "mlflow")


def instructions():
    """Target name to its instructions, in order; continuation lines joined."""
    text = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.M))
    stages, name = {}, None
    for line in filter(str.strip, text.splitlines()):
        if line.startswith("FROM "):
            name = line.split(" AS ")[1].strip()
        if name:
            stages.setdefault(name, []).append(line)
    return stages


def tool(name):
    """A program of the environment that the tests run in."""
    return str(Path(sys.executable).parent / name)


def test_hadolint_finds_nothing():
    told = subprocess.run([tool("hadolint"), str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr


def test_the_compose_file_fits_its_specification():
    command = [tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_runs_without_root_and_says_how_it_is(target):
    lines = instructions()[target]
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users
    assert users[-1].split(":")[0] not in ("root", "0")
    assert not any(line.startswith(("RUN ", "COPY ")) for line in lines[lines.index(f"USER {users[-1]}") :])
    assert any(line.startswith("HEALTHCHECK ") for line in lines)


def test_every_base_is_pinned_by_its_digest():
    text = DOCKERFILE.read_text()
    bases = re.findall(r"^ARG \w+=(\S+)$", text, re.M)
    assert bases
    stages = set(instructions())
    for base in re.findall(r"^FROM (\S+)", text, re.M):
        assert base == "${PYTHON}" or base in stages
    images = [
        service["image"] for service in yaml.safe_load(COMPOSE.read_text())["services"].values() if "image" in service
    ]
    for image in bases + images:
        assert re.fullmatch(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}", image), image


def test_no_secret_has_a_default():
    text = COMPOSE.read_text() + DOCKERFILE.read_text()
    assert not re.search(r"(PASSWORD|SECRET|TOKEN|KEY)\s*[:=]\s*[^\s/#$]", text)
    for service in yaml.safe_load(COMPOSE.read_text())["services"].values():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), "published beyond this machine"


def test_java_may_run_what_it_unpacks():
    """Parquet's compression is native code that Java maps out of /tmp; Docker mounts a tmpfs noexec unless told."""
    jobs = yaml.safe_load(COMPOSE.read_text())["services"]["jobs"]
    assert jobs["read_only"]
    options = dict(mount.partition(":")[::2] for mount in jobs["tmpfs"])
    assert "exec" in options["/tmp"].split(",")  # noqa: S108  # a path in the image


def test_mlflow_does_not_start_without_the_password(tmp_path):
    """A file that it may not read would else be an empty password, and a puzzling refusal of the database."""
    shell, option, script = yaml.safe_load(COMPOSE.read_text())["services"]["mlflow"]["command"]
    (tmp_path / "mlflow").write_text('#!/bin/sh\necho "$MLFLOW_BACKEND_STORE_URI"\n')
    (tmp_path / "mlflow").chmod(0o755)
    secret = tmp_path / "secret"
    script = script.replace("$$", "$").replace("/run/secrets/postgres-password", str(secret))

    def told():
        path = f"{tmp_path}:{os.environ['PATH']}"
        return subprocess.run(
            [shell, option, script], env={"PATH": path}, capture_output=True, text=True, check=False, timeout=60
        )

    refused = told()
    assert refused.returncode
    assert str(secret) in refused.stderr
    assert not refused.stdout
    secret.write_text("f00d")
    assert told().stdout == "postgresql+psycopg://palate:f00d@postgres/mlflow\n"


def test_every_service_waits_for_what_it_needs():
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            assert how["condition"] == "service_healthy", (name, needed)
            target = services[needed].get("build", {}).get("target")
            assert "healthcheck" in services[needed] or any("HEALTHCHECK --" in line for line in instructions()[target])


def engine():
    docker = shutil.which("docker")
    if docker is None:
        return "the docker command is not installed"
    told = subprocess.run([docker, "info"], capture_output=True, text=True, check=False, timeout=60)
    return None if told.returncode == 0 else "no Docker engine answers `docker info`"


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("target", TARGETS)
def test_an_image_builds(target):
    if reason := engine():
        pytest.skip(reason)
    command = ["docker", "build", "--quiet", "--file", str(DOCKERFILE), "--target", target, str(ROOT)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
