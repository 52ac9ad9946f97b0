"""Which addresses of a Label Studio are called."""

from __future__ import annotations

import pytest

from labeling.label_studio.address import checked
from labeling.label_studio.server import Server
from palate.errors import ParameterError, RemoteError


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        (" HTTP://LocalHost ", "http://localhost"),
        ("http://[::1]:8080/studio/", "http://[::1]:8080/studio"),
    ],
)
def test_one_spelling(url, plain):
    assert checked(url) == plain


@pytest.mark.parametrize(
    "url",
    [
        "", "label-studio", "ftp://127.0.0.1", "file:///etc/passwd", "http://", "http://127.0.0.1:99999", "http://[::1",
        "http://user:secret@127.0.0.1", "http://127.0.0.1/?a=b", "http://127.0.0.1/#a", "http://127.0.0.1/\na",
        "http://127.0.0.1/" + 500 * "a",
    ],
)  # fmt: skip
def test_no_address(url):
    with pytest.raises(ParameterError) as refused:
        checked(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    ["http://169.254.169.254", "http://[fe80::1]", "http://[::ffff:169.254.169.254]", "http://100.100.100.200",
     "http://2852039166", "http://0xa9fea9fe", "http://0.0.0.0"],
)  # fmt: skip
def test_where_clouds_keep_credentials_nothing_is_called(url):
    with pytest.raises(ParameterError, match="is not called"):
        checked(url)


def test_a_link_local_address_may_be_allowed():
    assert checked("http://169.254.1.1", link_local=True) == "http://169.254.1.1"


def test_a_name_that_there_is_not():
    with pytest.raises(RemoteError, match=r"'no-such-host\.invalid' is not found"):
        checked("http://no-such-host.invalid")


@pytest.mark.parametrize("token", ["", "  ", "a\nb", "tökén"])
def test_no_token(token):
    with pytest.raises(ParameterError, match="is no token"):
        Server("http://127.0.0.1:1", token)


def test_nobody_listens():
    server = Server("http://127.0.0.1:1", "0123456789abcdef")
    with pytest.raises(RemoteError, match="cannot be reached") as away:
        server.project(1)
    assert "0123456789abcdef" not in str(away.value)
    server.close()


def test_a_token_that_is_over():
    jwt = pytest.importorskip("jwt")
    over = jwt.encode({"exp": 1, "token_type": "refresh"}, "a key that nobody knows, 32 bytes long")
    with pytest.raises(RemoteError, match="refuses the token") as refused:
        Server("http://127.0.0.1:1", over)
    assert over not in str(refused.value)
