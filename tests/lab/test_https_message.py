"""HTTP/1.1 out of bytes, in whatever pieces they come, and what is refused."""

from __future__ import annotations

import json

import pytest

from lab.https.message import (
    BODY_MAXIMUM,
    HEAD_MAXIMUM,
    Request,
    RequestReader,
    RequestRefused,
    Response,
    encode,
)

GET = b"GET /things/press-7/jobs HTTP/1.1\r\nHost: localhost\r\n\r\n"


def read(data: bytes) -> Request | None:
    reader = RequestReader()
    reader.feed(data)
    return reader.next()


def test_request_in_single_bytes() -> None:
    """A request is given once its last byte is there, and no earlier."""
    data = b"POST /topics/a%2Fb?qos=1 HTTP/1.1\r\nContent-Length: 5\r\nX-Name:  v \r\n\r\nhello"
    reader = RequestReader()
    for byte in data[:-1]:
        reader.feed(bytes([byte]))
        assert reader.next() is None
    reader.feed(data[-1:])
    request = reader.next()
    assert request is not None
    assert (request.method, request.path) == ("POST", ("topics", "a/b"))
    assert (request.query, request.body, request.last) == ({"qos": "1"}, b"hello", False)
    assert request.headers == {"content-length": "5", "x-name": "v"}
    assert reader.next() is None


def test_two_requests_in_one_piece() -> None:
    """What follows a request waits for the next call."""
    reader = RequestReader()
    reader.feed(GET + GET)
    assert reader.next() is not None
    assert reader.next() is not None
    assert reader.next() is None


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nConnection: Close\r\n\r\n",
    ],
)
def test_last_request(data: bytes) -> None:
    """HTTP/1.0, or Connection: close, make a request the last one of its connection."""
    request = read(data)
    assert request is not None
    assert request.last


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/2.0\r\n\r\n", 400),
        (b"get / HTTP/1.1\r\n\r\n", 400),
        (b"GET http://x/ HTTP/1.1\r\n\r\n", 400),
        (b"GET /%ff HTTP/1.1\r\n\r\n", 400),
        (b"GET /?" + b"a=1&" * 21 + b" HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: 1\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: 0\r\ncontent-length: 1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: 1e3\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (BODY_MAXIMUM + 1), 413),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
        (b"GET /" + b"a" * HEAD_MAXIMUM, 431),
    ],
)
def test_what_is_refused(data: bytes, status: int) -> None:
    """Malformed, chunked or too long: each is refused with the status that says so."""
    with pytest.raises(RequestRefused) as caught:
        read(data)
    assert caught.value.status == status


def test_answer() -> None:
    """An answer says its length, its error as AWS's SDKs know it, and that it is the last."""
    response = Response(404, {"message": "no"}, "ResourceNotFoundException")
    head, _, body = encode(response, last=True).partition(b"\r\n\r\n")
    assert head.decode().split("\r\n") == [
        "HTTP/1.1 404 Not Found",
        "Content-Type: application/json",
        "Content-Length: 17",
        "x-amzn-ErrorType: ResourceNotFoundException",
        "Connection: close",
    ]
    assert json.loads(body) == {"message": "no"}


def test_repr_holds_no_content() -> None:
    """What is in a request or an answer, credentials among it, is in no repr."""
    assert "s3cr3t" not in repr(Response(200, {"key": "s3cr3t"}))
    assert "s3cr3t" not in repr(read(b"POST / HTTP/1.1\r\nContent-Length: 6\r\n\r\ns3cr3t"))
