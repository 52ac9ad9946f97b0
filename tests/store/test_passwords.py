from __future__ import annotations

import pytest

from palate.store.passwords import hash_password, verify_password


@pytest.fixture(autouse=True)
def _real_work(password_cost: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here, unlike elsewhere in the tests, it is done."""
    monkeypatch.setattr("palate.store.passwords.COST", password_cost)


def test_a_password_is_hashed_with_its_own_salt_and_work_worth_the_name() -> None:
    kept = [hash_password("pässword 123") for _ in range(2)]
    assert kept[0] != kept[1]
    assert kept[0].startswith("scrypt$16384$8$5$")
    assert verify_password("pässword 123", kept[0])
    assert not verify_password("pässword 124", kept[0])


def test_hashes_made_with_other_costs_are_still_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("palate.store.passwords.COST", 1024)
    old = hash_password("pässword 123")
    monkeypatch.undo()
    assert verify_password("pässword 123", old)


@pytest.mark.parametrize("password", ["", "x" * 5000, "\ud800", "a\x00b"])
def test_odd_passwords_are_wrong_rather_than_an_error(password: str) -> None:
    assert not verify_password(password, hash_password("pässword 123"))
