"""What a machine needs to run Palate, and how to get what it lacks. `palate doctor` prints it.

Each check is a function that returns a `Finding`; `CHECKS` is their order. Java is looked at here and only here,
so that the Spark session and the doctor agree.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from palate.errors import MissingDependencyError
from palate.memory import free_memory

JAVA_VERSIONS = (17, 21)
DEMO_PORTS = {"api": 8000, "labeling": 8001, "mlflow": 5000}
MEMORY_GB = 6
DISK_GB = 2


class State(StrEnum):
    OK = "ok"
    OPTIONAL = "optional"
    """Absent; only what the finding names goes without."""
    MISSING = "missing"
    """The main job cannot run."""


@dataclass(frozen=True)
class Finding:
    """One line of the report: what was looked at, what was found, and, unless all is well, how to get it."""

    name: str
    state: State
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class Java:
    path: Path
    version: int
    has_vector_module: bool

    @property
    def usable(self) -> bool:
        return self.version in JAVA_VERSIONS and self.has_vector_module


def find_java() -> Java | None:
    """The Java that Spark would start: the one of JAVA_HOME, else the first on PATH; None if there is none."""
    home = os.environ.get("JAVA_HOME")
    path = Path(home, "bin", "java") if home else Path(shutil.which("java") or "")
    if not path.is_file():
        return None
    try:
        told = subprocess.run([path, "-version"], capture_output=True, text=True, timeout=120, check=False)
        modules = subprocess.run([path, "--list-modules"], capture_output=True, text=True, timeout=120, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r'version "(?:1\.)?(\d+)', told.stderr + told.stdout)
    if match is None:
        return None
    return Java(path, int(match[1]), "jdk.incubator.vector" in modules.stdout)


def java_remedy() -> str:
    """How to install a JDK here."""
    if sys.platform == "darwin":
        return "brew install openjdk@21, then set JAVA_HOME to it."
    if shutil.which("apt-get"):
        return "apt-get install openjdk-17-jdk-headless"
    if shutil.which("dnf"):
        return "dnf install java-21-openjdk-devel"
    return "Install a JDK 17 or 21 (https://adoptium.net) and set JAVA_HOME to it."


def require_java() -> None:
    """Raises MissingDependencyError, saying what to install, unless Spark could start on this machine's Java."""
    java = find_java()
    hint = f"{java_remedy()} `palate doctor` looks at the whole machine."
    if java is None:
        raise MissingDependencyError("Spark needs Java 17 or 21; there is none here.", where="java", hint=hint)
    if java.version not in JAVA_VERSIONS:
        raise MissingDependencyError(f"Spark needs Java 17 or 21, not {java.version}.", where=str(java.path), hint=hint)
    if not java.has_vector_module:
        raise MissingDependencyError(
            "this Java lacks the module jdk.incubator.vector, without which Spark does not start.",
            where=str(java.path),
            hint=hint,
        )


def check_python() -> Finding:
    return Finding("Python", State.OK, ".".join(map(str, sys.version_info[:3])))


def check_java() -> Finding:
    java = find_java()
    if java is None:
        return Finding("Java", State.MISSING, "none (needed by Spark)", java_remedy())
    found = f"{java.version} at {java.path}"
    if java.version not in JAVA_VERSIONS:
        return Finding("Java", State.MISSING, f"{found}; Spark needs 17 or 21", java_remedy())
    if not java.has_vector_module:
        return Finding("Java", State.MISSING, f"{found}, without the module jdk.incubator.vector", java_remedy())
    return Finding("Java", State.OK, found)


def check_memory() -> Finding:
    gigabytes = free_memory() / 1024**3
    if gigabytes < MEMORY_GB:
        return Finding(
            "memory",
            State.OPTIONAL,
            f"{gigabytes:.1f} GB",
            f"The demo is measured to fit {MEMORY_GB} GB; close others.",
        )
    return Finding("memory", State.OK, f"{gigabytes:.1f} GB")


def check_disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free / 1024**3
    if free < DISK_GB:
        return Finding("disk", State.MISSING, f"{free:.1f} GB free here", f"Free at least {DISK_GB} GB.")
    return Finding("disk", State.OK, f"{free:.1f} GB free here")


def check_ports() -> Finding:
    taken = [f"{port} ({name})" for name, port in DEMO_PORTS.items() if not port_is_free(port)]
    if taken:
        return Finding(
            "ports", State.OPTIONAL, f"taken: {', '.join(taken)}", "The demo takes the next free ones, and says which."
        )
    return Finding("ports", State.OK, ", ".join(map(str, DEMO_PORTS.values())) + " are free")


def port_is_free(port: int, host: str = "127.0.0.1") -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port(wanted: int, host: str = "127.0.0.1", taken: frozenset[int] = frozenset()) -> int:
    """`wanted`, or the next port above it that nothing listens on and that is not in `taken`."""
    for port in range(wanted, wanted + 200):
        if port not in taken and port_is_free(port, host):
            return port
    raise OSError(f"no free port between {wanted} and {wanted + 199} on {host}")


def find_chromium() -> str | None:
    """Where PALATE_CHROMIUM says, else the first of the usual names on PATH."""
    told = os.environ.get("PALATE_CHROMIUM")
    if told:
        return told if Path(told).is_file() else None
    for name in ("chromium", "chromium-browser", "google-chrome", "chrome"):
        if path := shutil.which(name):
            return path
    return None


def check_chromium() -> Finding:
    path = find_chromium()
    if path is None:
        remedy = (
            "apt-get install chromium, or PALATE_CHROMIUM=/path/to/it"
            if shutil.which("apt-get")
            else ("Install Chromium or Chrome, or set PALATE_CHROMIUM to it.")
        )
        return Finding("Chromium", State.OPTIONAL, "none (the browser tests need it)", remedy)
    return Finding("Chromium", State.OK, path)


def _package(extra: str, name: str, state: State, what: str, remedy: str = "") -> Callable[[], Finding]:
    def check() -> Finding:
        try:
            return Finding(name, State.OK, importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            return Finding(name, state, f"not installed ({what})", remedy or f"pip install 'palate[{extra}]'")

    return check


def check_mxnet() -> Finding:
    remedy = "pip install 'palate[mxnet]' && pip install --no-deps mxnet==1.9.1 (x86-64 Linux and macOS have wheels)"
    finding = _package("mxnet", "mxnet", State.OPTIONAL, "the MXNet engines", remedy)()
    if finding.state is not State.OK or sys.platform != "linux":
        return finding
    for library, package in (("libgomp.so.1", "libgomp1"), ("libquadmath.so.0", "libquadmath0")):
        try:
            ctypes.CDLL(library)
        except OSError:
            return Finding("mxnet", State.OPTIONAL, f"{finding.found}, without {library}", f"apt-get install {package}")
    return finding


CHECKS: tuple[Callable[[], Finding], ...] = (
    check_python,
    check_java,
    check_memory,
    check_disk,
    check_ports,
    _package("spark", "pyspark", State.MISSING, "the Spark jobs"),
    _package("serve", "flask", State.MISSING, "the API and the labeling service"),
    _package("serve", "granian", State.MISSING, "the server of both"),
    _package("mlflow", "mlflow", State.OPTIONAL, "MLflow's own pages"),
    _package("labeling", "label-studio-sdk", State.OPTIONAL, "working with Label Studio"),
    _package("torch", "torch", State.OPTIONAL, "the torch engines", "pip install torch, CPU build or CUDA"),
    check_mxnet,
    _package("text", "sentence-transformers", State.OPTIONAL, "sentence embeddings"),
    check_chromium,
)


def examine() -> list[Finding]:
    """Every check, in order. Takes a second or two, most of it Java saying its version."""
    return [check() for check in CHECKS]
