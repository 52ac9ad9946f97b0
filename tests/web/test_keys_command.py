from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from palate.cli import main
from palate.cli.keys import keys, people
from palate.errors import PalateError, ParameterError
from palate.settings import Settings
from palate.store import Accounts, open_engine


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PALATE_HOME", str(tmp_path / "home"))
    return CliRunner()


def accounts(house: str) -> Accounts:
    return Accounts(open_engine(Settings.read().database(house)))


def test_a_key_is_made_listed_and_revoked(runner: CliRunner) -> None:
    made = runner.invoke(keys, ["create", "ci", "--scope", "recommend", "--scope", "events"], catch_exceptions=False)
    token = made.stdout.strip()
    who = accounts("recommender").check_token(token)
    assert who is not None
    assert who.scopes == {"recommend", "events"}
    listed = runner.invoke(keys, ["list"]).output
    assert who.id in listed
    assert token.split("_", 2)[2] not in listed
    runner.invoke(keys, ["revoke", who.id], catch_exceptions=False)
    assert accounts("recommender").check_token(token) is None


def test_each_house_has_its_own(runner: CliRunner) -> None:
    runner.invoke(keys, ["create", "ci", "--scope", "label", "--house", "labeling"], catch_exceptions=False)
    assert "ci" in runner.invoke(keys, ["list", "--house", "labeling"]).output
    assert "ci" not in runner.invoke(keys, ["list"]).output


def test_a_person_is_added_changed_and_disabled(runner: CliRunner) -> None:
    add = ["add", "ann", "--scope", "label", "--house", "labeling", "--password-stdin"]
    runner.invoke(people, add, input="correct horse battery\n", catch_exceptions=False)
    assert accounts("labeling").check_password("ann", "correct horse battery") is not None
    change = ["password", "ann", "--house", "labeling", "--password-stdin"]
    runner.invoke(people, change, input="another password\n", catch_exceptions=False)
    assert accounts("labeling").check_password("ann", "another password") is not None
    runner.invoke(people, ["disable", "ann", "--house", "labeling"], catch_exceptions=False)
    assert accounts("labeling").person_principal("ann") is None
    assert "ann" in runner.invoke(people, ["list", "--house", "labeling"]).output


@pytest.mark.parametrize(
    ("command", "given"),
    [
        (["keys", "create", "ci", "--scope", "Not A Scope"], ""),
        (["keys", "create", " ", "--scope", "events"], ""),
        (["keys", "revoke", "nope"], ""),
        (["people", "add", "ann", "--scope", "events", "--password-stdin"], ""),
        (["people", "add", "ann", "--scope", "events", "--password-stdin"], "short\n"),
        (["people", "disable", "nobody"], ""),
    ],
)
def test_bad_input_ends_with_code_2_and_a_reason(runner: CliRunner, command: list[str], given: str) -> None:
    group = keys if command[0] == "keys" else people
    result = runner.invoke(group, command[1:], input=given)
    assert isinstance(result.exception, PalateError)
    assert result.exception.exit_code == 2


def test_a_scope_that_the_house_does_not_know_is_refused(runner: CliRunner) -> None:
    for command, group in (
        (["create", "--scope", "invoke", "ci"], keys),
        (["add", "--scope", "invoke", "ann"], people),
    ):
        with pytest.raises(ParameterError, match=r"no scope 'invoke'\. It is one of --house endpoints") as refused:
            runner.invoke(group, command, catch_exceptions=False)
        assert refused.value.hint == "It has recommend, catalogue, events, deployments, metrics and *."
    assert "ci" not in runner.invoke(keys, ["list"]).output


def test_the_palate_command_knows_them(runner: CliRunner, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["keys", "revoke", "nope"])
    assert stop.value.code == 2
    assert "There is no key 'nope'" in capsys.readouterr().err
