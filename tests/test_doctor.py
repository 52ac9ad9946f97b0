"""`palate doctor` names what is missing, and how to get it."""

import json
import os
import socket
import stat
import subprocess
import sys

import pytest
from click.testing import CliRunner

from palate import doctor
from palate.cli.doctor import doctor as command


def fake_java(folder, version, modules):
    """A program that answers as `java` does."""
    path = folder / "bin" / "java"
    path.parent.mkdir(parents=True)
    path.write_text(
        f"""#!/bin/sh
        case "$1" in -version) echo 'openjdk version "{version}" 2025' >&2 ;; *) echo "{modules}" ;; esac
        """
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return folder


def test_without_java_it_says_how_to_get_one(monkeypatch, tmp_path):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    finding = doctor.check_java()
    assert finding.state is doctor.State.MISSING
    assert "17" in finding.remedy or "21" in finding.remedy


@pytest.mark.parametrize(
    ("version", "modules", "said"),
    [
        ("1.8.0_392", "java.base", "Spark needs 17 or 21"),
        ("11.0.2", "jdk.incubator.vector@11", "Spark needs 17 or 21"),
        ("17.0.9", "java.base@17.0.9", "without the module jdk.incubator.vector"),
    ],
)
def test_java_that_spark_does_not_start_on(monkeypatch, tmp_path, version, modules, said):
    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path, version, modules)))
    finding = doctor.check_java()
    assert finding.state is doctor.State.MISSING
    assert said in finding.found
    assert finding.remedy


def test_java_that_will_do(monkeypatch, tmp_path):
    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path, "21.0.1", "jdk.incubator.vector@21.0.1")))
    assert doctor.check_java().state is doctor.State.OK
    java = doctor.find_java()
    assert java is not None
    assert java.usable


def test_a_taken_port_is_named_and_passed_over():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert not doctor.port_is_free(port)
        assert doctor.free_port(port) != port
        assert doctor.free_port(port + 1, taken=frozenset({port + 1})) != port + 1


def test_chromium_of_the_environment_wins(monkeypatch, tmp_path):
    monkeypatch.setenv("PALATE_CHROMIUM", str(tmp_path / "none"))
    assert doctor.find_chromium() is None
    assert doctor.check_chromium().state is doctor.State.OPTIONAL
    (tmp_path / "chrome").touch()
    monkeypatch.setenv("PALATE_CHROMIUM", str(tmp_path / "chrome"))
    assert doctor.find_chromium() == str(tmp_path / "chrome")


def test_the_command_prints_every_finding_and_fails_only_for_what_is_needed(monkeypatch):
    findings = [
        doctor.Finding("Java", doctor.State.OK, "17"),
        doctor.Finding("Chromium", doctor.State.OPTIONAL, "none", "apt-get install chromium"),
    ]
    monkeypatch.setattr("palate.cli.doctor.examine", lambda: findings)
    told = CliRunner().invoke(command, ["--json"])
    assert told.exit_code == 0
    assert [row["name"] for row in json.loads(told.output)] == ["Java", "Chromium"]
    findings.append(doctor.Finding("pyspark", doctor.State.MISSING, "not installed", "pip install 'palate[spark]'"))
    told = CliRunner().invoke(command)
    assert told.exit_code == 1
    assert "palate[spark]" in told.output


def test_on_this_machine_every_check_answers():
    names = [finding.name for finding in doctor.examine()]
    assert len(names) == len(doctor.CHECKS) == len(set(names))


def test_the_process_says_by_its_exit_code_that_something_is_missing(tmp_path):
    told = subprocess.run(
        [sys.executable, "-m", "palate.cli", "doctor"],
        env={**os.environ, "JAVA_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 1
    assert "missing" in told.stdout
