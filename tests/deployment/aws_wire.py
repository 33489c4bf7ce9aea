"""An AWS endpoint on loopback, for real clients: HTTP by botocore's own service models.

Whatever a client sends is read as the model says, and checked against it; so is whatever is
answered, before it goes out. A test cannot answer what AWS could not. ``greengrassv2`` and ``iot``
speak REST-JSON, ``sts`` the Query protocol. (botocore: ``data/*/service-2.json``.)
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from botocore.model import (
    ListShape,
    MapShape,
    OperationModel,
    ServiceModel,
    Shape,
    StringShape,
    StructureShape,
)
from botocore.session import get_session
from botocore.validate import ParamValidator

#: The name that a request is signed for, and the service that it is.
_SERVICES = {"greengrass": "greengrassv2", "iot": "iot", "sts": "sts"}
_SCOPE = re.compile(r"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/aws4_request")


@dataclass(frozen=True)
class Call:
    """One request, understood. ``extra`` goes into the answer beside what the model knows."""

    service: str
    operation: str
    region: str
    access_key: str
    arguments: Mapping[str, Any]


class ApiError(Exception):
    """The service refuses: an error code, and its message."""

    def __init__(self, code: str, message: str = "", status: int = 0) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status = code, message, status


class Cut(Exception):
    """The connection is closed, and nothing is answered."""


class NotAws(Exception):
    """Something else than AWS answers, with a page of its own."""


Answering = Callable[[Call], Mapping[str, Any]]


class AwsWire:
    """``with AwsWire(answer) as wire:``; ``answer`` is called on threads of the server."""

    def __init__(self, answer: Answering) -> None:
        class Handler(_Handler):
            answering = staticmethod(answer)

        #: What a client sent, or a test answered, that AWS could not.
        self.problems: list[AssertionError] = []
        Handler.problems = self.problems
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> AwsWire:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    answering: Answering
    problems: list[AssertionError]
    protocol_version = "HTTP/1.1"
    # An answer is written in two parts: without this each waits for the other's receipt.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        try:
            self._serve()
        except AssertionError as problem:
            self.problems.append(problem)
            self.close_connection = True

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing: the tests look at what was called."""

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        scope = _SCOPE.search(self.headers.get("Authorization", ""))
        if scope is None:
            return self._send(
                403, "application/json", b'{"message": "Missing Authentication Token"}'
            )
        access_key, region, signed = scope.groups()
        service = _SERVICES[signed]
        model = _model(service)
        operation, arguments = _read(model, self.command, self.path, body)
        try:
            said = dict(
                type(self).answering(Call(service, operation.name, region, access_key, arguments))
            )
        except ApiError as error:
            return self._refuse(model, operation, error)
        except Cut:
            self.close_connection = True
            return None
        except NotAws:
            return self._send(200, "text/html", b"<html>Please sign in to this network</html>")
        if service == "sts":
            return self._send(200, "text/xml", _caller_identity(said))
        return self._send(
            operation.http.get("responseCode", 200), "application/json", _write(operation, said)
        )

    def _refuse(self, model: ServiceModel, operation: OperationModel, error: ApiError) -> None:
        known = {shape.name: shape for shape in operation.error_shapes}
        status = error.status
        if not status:
            assert error.code in known, f"{operation.name} has no error {error.code}"
            status = known[error.code].metadata["error"]["httpStatusCode"]
        if model.service_name == "sts":
            text = (
                f"<ErrorResponse><Error><Code>{error.code}</Code><Message>{error.message}</Message>"
            )
            return self._send(status, "text/xml", f"{text}</Error></ErrorResponse>".encode())
        body = json.dumps({"message": error.message}).encode()
        return self._send(status, "application/json", body, {"x-amzn-ErrorType": error.code})

    def _send(
        self, status: int, kind: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@cache
def _model(service: str) -> ServiceModel:
    model = get_session().get_service_model(service)
    assert isinstance(model, ServiceModel)
    return model


@cache
def _routes(service: str) -> list[tuple[str, re.Pattern[str], OperationModel]]:
    model = _model(service)
    routes = []
    for name in model.operation_names:
        operation = model.operation_model(name)
        path = operation.http["requestUri"].partition("?")[0]
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path)
        routes.append((operation.http["method"], re.compile(pattern), operation))
    # A path that is spelled out goes before one with a name in its place.
    return sorted(routes, key=lambda route: route[1].groups)


def _read(
    model: ServiceModel, method: str, path: str, body: bytes
) -> tuple[OperationModel, dict[str, Any]]:
    """Which operation a request is for, and its arguments, checked."""
    if model.service_name == "sts":
        [name] = parse_qs(body.decode())["Action"]
        return model.operation_model(name), {}
    parts = urlsplit(path)
    operation, found = _routed(model.service_name, method, parts.path)
    shape = operation.input_shape
    assert isinstance(shape, StructureShape)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    content = json.loads(body) if body else {}
    arguments: dict[str, Any] = {}
    for name, member in shape.members.items():
        spelled = member.serialization.get("name", name)
        match member.serialization.get("location"):
            case "uri":
                arguments[name] = unquote(found[spelled])
            case "querystring" if spelled in query:
                arguments[name] = _typed(query[spelled], member)
            case None if spelled in content:
                arguments[name] = content[spelled]
            case _:
                pass
    assert_fits(arguments, shape)
    return operation, arguments


def _routed(service: str, method: str, path: str) -> tuple[OperationModel, re.Match[str]]:
    for verb, pattern, operation in _routes(service):
        found = pattern.fullmatch(path)
        if verb == method and found:
            return operation, found
    raise AssertionError(f"no operation of {service} is {method} {path}")


def _typed(text: str, shape: Shape) -> Any:
    if shape.type_name in ("integer", "long"):
        return int(text)
    return text == "true" if shape.type_name == "boolean" else text


def assert_fits(value: Any, shape: Shape) -> None:
    """The value is one that the shape allows: types, lengths, required members, enumerations."""
    report = ParamValidator().validate(value, shape)
    assert not report.has_errors(), report.generate_report()
    _assert_enumerated(value, shape)


def _assert_enumerated(value: Any, shape: Shape) -> None:
    if isinstance(shape, StructureShape):
        for name, inner in value.items():
            _assert_enumerated(inner, shape.members[name])
    elif isinstance(shape, MapShape):
        for inner in value.values():
            _assert_enumerated(inner, shape.value)
    elif isinstance(shape, ListShape):
        for inner in value:
            _assert_enumerated(inner, shape.member)
    elif isinstance(shape, StringShape) and shape.enum:
        assert value in shape.enum, f"{value} is none of {shape.enum}"


def _write(operation: OperationModel, said: dict[str, Any]) -> bytes:
    """The answer's body; ``__extra__`` is what a newer AWS says, which the model has not got."""
    extra = said.pop("__extra__", {})
    shape = operation.output_shape
    if shape is None:
        return b"{}"
    assert_fits(said, shape)
    return json.dumps(_overlaid(_plain(said, shape), extra)).encode()


def _plain(value: Any, shape: Shape) -> Any:
    """As JSON has it: times in seconds, and null for what is not there, as Greengrass does
    (github.com/aws/aws-cli/issues/6185 shows an answer)."""
    if isinstance(shape, StructureShape):
        return {
            member.serialization.get("name", name): (
                _plain(value[name], member) if name in value else None
            )
            for name, member in shape.members.items()
        }
    if isinstance(shape, MapShape):
        return {name: _plain(inner, shape.value) for name, inner in value.items()}
    if isinstance(shape, ListShape):
        return [_plain(inner, shape.member) for inner in value]
    return value.timestamp() if isinstance(value, datetime) else value


def _overlaid(base: Any, extra: Mapping[str, Any]) -> Any:
    for name, value in extra.items():
        base[name] = _overlaid(base[name], value) if isinstance(base.get(name), dict) else value
    return base


def _caller_identity(said: Mapping[str, Any]) -> bytes:
    inner = "".join(f"<{name}>{value}</{name}>" for name, value in said.items())
    result = f"<GetCallerIdentityResult>{inner}</GetCallerIdentityResult>"
    return f"<GetCallerIdentityResponse>{result}</GetCallerIdentityResponse>".encode()
