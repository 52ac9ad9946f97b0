"""A result is there whole, or what was there before stays."""

import os
import threading

import pytest

from palate.errors import InputError
from palate.files import written_whole


def test_it_takes_its_name_when_all_is_written(tmp_path):
    path = tmp_path / "result"
    path.write_text("old")
    with written_whole(path) as file:
        file.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["result"]


def test_a_failure_on_the_way_leaves_what_was_there(tmp_path):
    path = tmp_path / "result"
    path.write_text("old")

    def fail():
        with written_whole(path) as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["result"]


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with written_whole(tmp_path / "link") as file:
        file.write(b"x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"x"


def test_a_pipe_is_written_to_and_stays_one(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    heard = []
    reader = threading.Thread(target=lambda: heard.append(path.read_bytes()))
    reader.start()
    with written_whole(path) as file:
        file.write(b"through")
    reader.join(120)
    assert heard == [b"through"]
    assert path.is_fifo()


def test_a_private_file_is_its_owners_alone(tmp_path):
    with written_whole(tmp_path / "secret", private=True) as file:
        file.write(b"x")
    assert (tmp_path / "secret").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", ["no/such/folder", "."])
def test_what_cannot_be_written_is_named(tmp_path, name):
    with pytest.raises(InputError, match="cannot be written") as caught, written_whole(tmp_path / name) as file:
        file.write(b"x")
    assert str(tmp_path) in str(caught.value)
