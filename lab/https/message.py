"""HTTP/1.1 requests out of bytes, and answers to bytes (RFC 9112), no sockets here.

Taken: requests whose body has a Content-Length. Whatever is malformed, chunked or too
long is a RequestRefused with the status to answer; the connection is then of no more use.
"""

from __future__ import annotations

import http
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

HEAD_MAXIMUM = 16 * 1024
BODY_MAXIMUM = 256 * 1024  # AWS IoT takes 128 KB of payload

_REQUEST_LINE = re.compile(rb"([A-Z]+) (/[\x21-\x7e]*) HTTP/1\.([01])")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*")


class RequestRefused(Exception):
    """The request cannot be read; ``status`` is what to answer before hanging up."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True)
class Request:
    """``path`` are the decoded segments, ``headers`` have lower-case names."""

    method: str
    path: tuple[str, ...]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    last: bool  # the client wants the connection closed afterwards


@dataclass(frozen=True)
class Response:
    """``content`` is sent as JSON; it may hold credentials, so it is in no repr."""

    status: int
    content: Mapping[str, Any] = field(repr=False)
    error: str | None = None  # as AWS's SDKs know it, e.g. ResourceNotFoundException


def failed(status: int, error: str, message: str) -> Response:
    """An error as AWS's REST-JSON services say it."""
    return Response(status, {"message": message}, error)


def encode(response: Response, *, last: bool) -> bytes:
    """The answer as it is sent; ``last`` says that the connection will be closed."""
    body = json.dumps(response.content).encode()
    lines = [
        f"HTTP/1.1 {response.status} {http.HTTPStatus(response.status).phrase}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *([f"x-amzn-ErrorType: {response.error}"] if response.error else []),
        *(["Connection: close"] if last else []),
    ]
    return "\r\n".join(lines).encode("ascii") + b"\r\n\r\n" + body


class RequestReader:
    """Collects bytes, and gives the requests in them one by one."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Add what came from the network."""
        self._buffer += data

    def next(self) -> Request | None:
        """The next whole request, or None until more bytes come. Raises RequestRefused."""
        end = self._buffer.find(b"\r\n\r\n", 0, HEAD_MAXIMUM)
        if end < 0:
            if len(self._buffer) >= HEAD_MAXIMUM:
                raise RequestRefused(431, f"a head of {HEAD_MAXIMUM} bytes and more")
            return None
        line, *lines = bytes(self._buffer[:end]).split(b"\r\n")
        headers = _headers(lines)
        length = _body_length(headers)
        start = end + 4
        if len(self._buffer) < start + length:
            return None
        request = _request(line, headers, bytes(self._buffer[start : start + length]))
        del self._buffer[: start + length]
        return request


def _request(line: bytes, headers: dict[str, str], body: bytes) -> Request:
    parsed = _REQUEST_LINE.fullmatch(line)
    if parsed is None:
        raise RequestRefused(400, "not an HTTP/1.1 request line")
    method, target, minor = (part.decode("ascii") for part in parsed.groups())
    path, _, query = target.partition("?")
    try:
        segments = tuple(unquote(part, errors="strict") for part in path[1:].split("/"))
        values = dict(parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=20))
    except ValueError:  # a UnicodeDecodeError is one
        raise RequestRefused(400, "a target that is not percent-encoded UTF-8") from None
    last = minor == "0" or headers.get("connection", "").lower() == "close"
    return Request(method, segments, values, headers, body, last)


def _headers(lines: list[bytes]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        parsed = _HEADER.fullmatch(line)
        if parsed is None:
            raise RequestRefused(400, "a malformed header")
        name = parsed[1].decode("ascii").lower()
        if name in headers:
            raise RequestRefused(400, f"{name} twice")
        headers[name] = parsed[2].decode("latin-1")
    return headers


def _body_length(headers: Mapping[str, str]) -> int:
    if "transfer-encoding" in headers:
        raise RequestRefused(501, "a transfer encoding")
    length = headers.get("content-length", "0")
    if not re.fullmatch("[0-9]{1,12}", length):
        raise RequestRefused(400, "a malformed Content-Length")
    if int(length) > BODY_MAXIMUM:
        raise RequestRefused(413, f"a body over {BODY_MAXIMUM} bytes")
    return int(length)
