"""Which operations of AWS a piece of code calls on boto3's clients, told from its syntax.

A client is held in an attribute or a parameter that is named for its service (``_iot_data``), in
a name that it is assigned to, or is used where it is made: ``client("iot").list_things()``. What
is called by its name in text (``get_paginator("query")``) counts too. What cannot be told apart
is an error.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache

import boto3

AwsCall = tuple[str, str]

SERVICES = (
    *("iot", "iot-data", "iot-jobs-data", "dynamodb", "sns", "sqs", "events", "stepfunctions"),
    *("lambda", "acm-pca", "s3", "cloudwatch", "secretsmanager", "ssm"),
)
#: Methods of a client that are no operation, and call nothing by themselves.
_NO_CALLS = {"get_paginator", "close", "meta", "exceptions"}


@cache
def operations(service: str) -> dict[str, str]:
    """The operation of each method of a service's client."""
    client = boto3.Session(region_name="eu-west-1").client(
        service  # type: ignore[call-overload]  # the stubs list known names only
    )
    return dict(client.meta.method_to_api_mapping)


def client_calls(name: str, node: ast.FunctionDef, held: frozenset[str]) -> Iterator[AwsCall]:
    """The (service, operation) pairs that one function calls itself.

    ``held`` are the services whose clients its class holds.
    """
    named = {
        target.id: made
        for each in ast.walk(node)
        if isinstance(each, ast.Assign) and (made := _made(each.value))
        for target in each.targets
        if isinstance(target, ast.Name)
    } | {
        argument.arg: _service_of(argument.arg)
        for argument in _of_any(node)
        if _service_of(argument.arg) in SERVICES
    }
    services = set(held)
    for each in ast.walk(node):
        if not isinstance(each, ast.Attribute):
            continue
        service = _service(each.value, named)
        if service is None:
            continue
        services.add(service)
        if each.attr in operations(service):
            yield service, operations(service)[each.attr]
        elif each.attr not in _NO_CALLS:
            raise AssertionError(f"{name}: a client of {service} has no {each.attr}")
    for each in ast.walk(node):
        if isinstance(each, ast.Constant) and isinstance(each.value, str):
            for service in services:
                if each.value in operations(service):
                    yield service, operations(service)[each.value]


def held_by(node: ast.ClassDef) -> frozenset[str]:
    """The services whose clients come in by ``__init__``: whatever is Any there."""
    return frozenset(
        _known(argument.arg, node.name)
        for each in node.body
        if isinstance(each, ast.FunctionDef) and each.name == "__init__"
        for argument in _of_any(each)
    )


def _of_any(node: ast.FunctionDef) -> Iterator[ast.arg]:
    """The parameters of type Any: a client's type is that."""
    for argument in (*node.args.args, *node.args.kwonlyargs):
        if isinstance(argument.annotation, ast.Name) and argument.annotation.id == "Any":
            yield argument


def _service_of(name: str) -> str:
    """``_iot_data`` is iot-data, and ``lambda_`` is lambda."""
    return name.strip("_").replace("_", "-")


def _known(argument: str, owner: str) -> str:
    service = _service_of(argument)
    assert service in SERVICES, f"{owner}: name the client {argument} by its service"
    return service


def _service(value: ast.expr, named: dict[str, str]) -> str | None:
    """The service of the client that an expression is; None if it is none."""
    if isinstance(value, ast.Name):
        return named.get(value.id)
    if isinstance(value, ast.Attribute) and isinstance(value.value, ast.Name):
        service = _service_of(value.attr)
        is_held = value.value.id == "self" and value.attr.startswith("_")
        return service if is_held and service in SERVICES else None
    return _made(value)


def _made(value: ast.expr) -> str | None:
    """``client("iot")`` and ``aws.client("iot")``."""
    if not isinstance(value, ast.Call) or not value.args:
        return None
    called, first = value.func, value.args[0]
    name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
    if name != "client" or not isinstance(first, ast.Constant):
        return None
    service = f"{first.value!s}"
    assert service in SERVICES, f"{service}: add it to SERVICES"
    return service
