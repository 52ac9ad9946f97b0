"""Where the demo's data comes from, against a real HTTP server that behaves well and badly."""

from __future__ import annotations

import hashlib
import io
import socket
import stat
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from palate.dataset import generate_dataset, read_dataset, write_dataset
from palate.dataset.demo_data import demo_folder
from palate.errors import InputError

RATINGS = b"userId,movieId,rating,timestamp\n1,10,4.0,978300760\n2,20,3.5,978302109\n"
MOVIES = b"movieId,title,genres\n10,One (2001),Comedy\n20,Two (1995),Drama\n"


def archive(members: dict[str, bytes], link: str | None = None) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            if name == link:
                info.external_attr = (stat.S_IFLNK | 0o777) << 16
            zipped.writestr(info, content)
    return buffer.getvalue()


GOOD = archive({"ml/ratings.csv": RATINGS, "ml/movies.csv": MOVIES, "ml/README.txt": b"read me"})


class Server(ThreadingHTTPServer):
    """Answers every request with `content`, and counts them."""

    daemon_threads = True
    content = GOOD
    status = 200
    cut = 0
    silent = False
    requests = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/data.zip"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests += 1
        if self.server.silent:
            self.rfile.read(1)  # until the client hangs up
            return
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.content)))
        self.end_headers()
        self.wfile.write(self.server.content[: len(self.server.content) - self.server.cut])

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def folder_from(server: Server, cache: Path, sha256: str | None = None) -> tuple[Path, list[str]]:
    lines: list[str] = []
    expected = sha256 or hashlib.sha256(server.content).hexdigest()
    patience = 0.5 if server.silent else 60
    return demo_folder(None, cache, lines.append, url=server.url, sha256=expected, timeout=patience), lines


def assert_generated(folder: Path, lines: list[str], why: str) -> None:
    assert folder.name == "generated"
    assert why in lines[-1]
    assert "generated data" in lines[-1]
    assert len(read_dataset(folder).interactions) == 60_000
    assert [path.name for path in folder.parent.iterdir()] == ["generated"]  # nothing half-made is left


def test_it_is_downloaded_once_and_then_taken_from_the_cache(server: Server, tmp_path: Path) -> None:
    cache = tmp_path / "made" / "here"
    folder, lines = folder_from(server, cache)
    assert len(lines) == 1
    assert "Downloading" in lines[0]
    dataset = read_dataset(folder)
    assert len(dataset.interactions) == 2
    assert dataset.items is not None
    assert folder_from(server, cache) == (folder, [])
    assert server.requests == 1
    assert [path.name for path in cache.iterdir()] == ["ml-latest-small"]


def test_a_cache_that_lacks_a_file_is_filled_again(server: Server, tmp_path: Path) -> None:
    folder, _ = folder_from(server, tmp_path)
    (folder / "movies.csv").unlink()
    again, _ = folder_from(server, tmp_path)
    assert again == folder
    assert (folder / "movies.csv").is_file()


def test_a_wrong_hash(server: Server, tmp_path: Path) -> None:
    assert_generated(*folder_from(server, tmp_path, "0" * 64), "hash")


def test_a_download_that_breaks_off(server: Server, tmp_path: Path) -> None:
    server.cut = 50
    assert_generated(*folder_from(server, tmp_path), "broke off")


def test_a_server_that_refuses(server: Server, tmp_path: Path) -> None:
    server.status = 503
    assert_generated(*folder_from(server, tmp_path), "503")


def test_a_server_that_never_answers(server: Server, tmp_path: Path) -> None:
    server.silent = True
    assert_generated(*folder_from(server, tmp_path), "timed out")


def test_nobody_there(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    lines: list[str] = []
    folder = demo_folder(None, tmp_path, lines.append, url=f"http://127.0.0.1:{port}/x.zip", timeout=0.5)
    assert_generated(folder, lines, "could not be downloaded")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"<html>not a zip</html>", "can't be unpacked"),
        (archive({"ml/ratings.csv": RATINGS}), "no ratings.csv and movies.csv"),
        (archive({"../ratings.csv": RATINGS, "movies.csv": MOVIES}), "the path '../ratings.csv'"),
        (archive({"/outside/ratings.csv": RATINGS}), "the path '/outside/ratings.csv'"),
        (archive({"ml/ratings.csv": b"/etc/passwd", "ml/movies.csv": MOVIES}, link="ml/ratings.csv"), "a link"),
    ],
)
def test_archives_that_are_not_it_or_would_write_elsewhere(
    server: Server, tmp_path: Path, content: bytes, why: str
) -> None:
    server.content = content
    assert_generated(*folder_from(server, tmp_path / "cache"), why)
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_the_generated_data_is_made_once(server: Server, tmp_path: Path) -> None:
    server.status = 404
    folder, _ = folder_from(server, tmp_path)
    before = (folder / "interactions.parquet").stat().st_mtime_ns
    folder_from(server, tmp_path)
    assert (folder / "interactions.parquet").stat().st_mtime_ns == before


def test_a_folder_of_ones_own_is_used_as_it_is(tmp_path: Path) -> None:
    own = write_dataset(generate_dataset(5, 6, 10), tmp_path / "own")
    lines: list[str] = []
    assert demo_folder(own, tmp_path / "cache", lines.append) == own
    assert lines == []
    assert not (tmp_path / "cache").exists()


def test_a_folder_that_is_no_data_set_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file.csv").write_text("user,item\n1,2\n")
    (tmp_path / "empty").mkdir()
    for path, message in (
        (tmp_path / "none", "no such folder"),
        (tmp_path / "file.csv", "a folder is expected"),
        (tmp_path / "empty", "no file in the folder"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            demo_folder(path, tmp_path / "cache", print)
        assert caught.value.where == str(path)


def test_a_cache_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cache"):
        demo_folder(None, tmp_path / "file" / "cache", print)
