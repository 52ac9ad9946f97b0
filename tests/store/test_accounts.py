from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from palate.errors import ConflictError, ParameterError, ThrottledError, UnknownIdError
from palate.store import Accounts, reading, writing
from palate.store.tables import failures, keys, people

PASSWORD = "correct horse battery"


@pytest.fixture
def accounts(engine: Engine) -> Accounts:
    return Accounts(engine)


def test_a_token_tells_who_it_is_until_it_is_revoked(accounts: Accounts) -> None:
    key, token = accounts.create_key("ci", ["recommend", "events:write"])
    who = accounts.check_token(token)
    assert who is not None
    assert (who.kind, who.id, who.name) == ("key", key, "ci")
    assert who.allows("recommend")
    assert not who.allows("admin")
    assert accounts.list_keys()[0].last_used is not None
    accounts.revoke_key(key)
    accounts.revoke_key(key)
    assert accounts.check_token(token) is None
    assert accounts.key_principal(key) is None
    assert accounts.list_keys()[0].revoked is not None


def test_the_star_allows_everything(accounts: Accounts) -> None:
    who = accounts.check_token(accounts.create_key("root", ["*"])[1])
    assert who is not None
    assert who.allows("anything")


@pytest.mark.parametrize("token", ["", "palate_", "palate__", "x" * 10_000, "palate_a_b\n", "palate_é_ü", "\ud800_a_b"])
def test_what_is_no_token_is_nobody(accounts: Accounts, token: str) -> None:
    assert accounts.check_token(token) is None


def test_a_right_id_with_a_wrong_secret_is_nobody(accounts: Accounts) -> None:
    _, token = accounts.create_key("ci", ["a"])
    other = accounts.create_key("other", ["a"])[1]
    assert accounts.check_token(token[:-1] + ("x" if token[-1] != "x" else "y")) is None
    assert accounts.check_token("_".join(token.split("_")[:2]) + "_" + other.split("_", 2)[2]) is None


def test_secrets_and_passwords_are_not_in_the_database(accounts: Accounts, engine: Engine) -> None:
    _, token = accounts.create_key("ci", ["a"])
    accounts.add_person("ann", PASSWORD, ["label"])
    accounts.add_person("bob", PASSWORD, ["label"])
    with reading(engine) as db:
        rows = str(db.execute(keys.select()).all()) + str(db.execute(people.select()).all())
        hashes = db.scalars(sa.select(people.c.password_hash)).all()
    assert token.split("_", 2)[2] not in rows
    assert PASSWORD not in rows
    assert hashes[0] != hashes[1]


def test_a_person_signs_in_changes_password_and_is_disabled(accounts: Accounts) -> None:
    accounts.add_person("Ann Ö.", PASSWORD, ["label"])
    first = accounts.check_password("Ann Ö.", PASSWORD)
    assert first is not None
    assert first.kind == "person"
    assert accounts.check_password("Ann Ö.", "wrong password") is None
    assert accounts.check_password("nobody", PASSWORD) is None
    accounts.set_password("Ann Ö.", "another password")
    second = accounts.person_principal("Ann Ö.")
    assert second is not None
    assert second.stamp != first.stamp
    accounts.disable_person("Ann Ö.")
    assert accounts.check_password("Ann Ö.", "another password") is None
    assert accounts.person_principal("Ann Ö.") is None
    with pytest.raises(ConflictError, match="already a person"):
        accounts.add_person("Ann Ö.", PASSWORD, ["label"])


@pytest.mark.parametrize("name", ["", " ann", "a\nb", "x" * 201, "a\x00b"])
def test_names_that_cannot_be(accounts: Accounts, name: str) -> None:
    with pytest.raises(ParameterError, match="name"):
        accounts.create_key(name, ["a"])


@pytest.mark.parametrize("scopes", [[], [""], ["Admin"], ["a b"], ["x" * 100]])
def test_scopes_that_cannot_be(accounts: Accounts, scopes: list[str]) -> None:
    with pytest.raises(ParameterError, match="scopes"):
        accounts.create_key("ci", scopes)


@pytest.mark.parametrize("password", ["", "short", "x" * 1001])
def test_passwords_that_cannot_be(accounts: Accounts, password: str) -> None:
    with pytest.raises(ParameterError, match="password"):
        accounts.add_person("ann", password, ["label"])


def test_unknown_keys_and_people_are_named(accounts: Accounts) -> None:
    with pytest.raises(UnknownIdError, match="nope"):
        accounts.revoke_key("nope")
    with pytest.raises(UnknownIdError, match="nope"):
        accounts.set_password("nope", PASSWORD)
    with pytest.raises(UnknownIdError, match="nope"):
        accounts.create_code("nope")


def test_failed_tries_are_slowed_down_per_name_and_address(accounts: Accounts, engine: Engine) -> None:
    accounts.add_person("ann", PASSWORD, ["label"])
    for _ in range(5):
        assert accounts.check_password("ann", "wrong password", address="1.2.3.4") is None
    with pytest.raises(ThrottledError) as caught:
        accounts.check_password("ann", PASSWORD, address="1.2.3.4")
    assert caught.value.retry_after >= 1
    # Another worker reads the same database; another address is not locked out with it.
    with pytest.raises(ThrottledError):
        Accounts(engine).check_password("ann", PASSWORD, address="1.2.3.4")
    assert accounts.check_password("ann", PASSWORD, address="5.6.7.8") is not None
    with writing(engine) as db:
        last = db.scalar(sa.select(failures.c.last))
        db.execute(failures.update().values(last=last - timedelta(seconds=10)))
    assert accounts.check_password("ann", PASSWORD, address="1.2.3.4") is not None
    with reading(engine) as db:
        assert db.execute(failures.select()).all() == []


def test_tries_at_once_do_not_slip_past_the_throttle(accounts: Accounts) -> None:
    def attempt(_: int) -> bool:
        try:
            accounts.check_password("nobody", "wrong password", address="x")
        except (ThrottledError, ConflictError):
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(16))) <= 5


def test_a_code_works_once(accounts: Accounts) -> None:
    key, _ = accounts.create_key("demo", ["*"])
    code = accounts.create_code(key)
    with ThreadPoolExecutor(4) as pool:
        found = [who for who in pool.map(lambda _: accounts.redeem_code(code), range(4)) if who is not None]
    assert [who.id for who in found] == [key]
    assert accounts.redeem_code(accounts.create_code(key, seconds=-1)) is None
    assert accounts.redeem_code("") is None
    last = accounts.create_code(key)
    accounts.revoke_key(key)
    assert accounts.redeem_code(last) is None
