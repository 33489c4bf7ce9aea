"""The permissions that operations.md gives to whoever deploys are those that are used."""

from __future__ import annotations

import ast

import boto3

from tests.deployment.account_site import policy
from tests.packaging.source import PROJECT, dotted

#: What AWS asks of the caller besides, for operations that we call: the "dependent actions" in
#: https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsiotgreengrassv2.html
DEPENDENT = {
    "ListDeployments": {
        *("iot:DescribeJob", "iot:DescribeThing", "iot:DescribeThingGroup", "iot:GetThingShadow"),
    },
    "GetDeployment": {
        *("iot:DescribeJob", "iot:DescribeThing", "iot:DescribeThingGroup", "iot:GetThingShadow"),
    },
    "CreateDeployment": {
        *("iot:CancelJob", "iot:CreateJob", "iot:DeleteThingShadow", "iot:DescribeJob"),
        *("iot:DescribeThing", "iot:DescribeThingGroup", "iot:GetThingShadow", "iot:UpdateJob"),
        *("iot:UpdateThingShadow", "greengrass:TagResource"),
    },
}
_PREFIX = {
    "greengrass": ("greengrassv2", "greengrass"),
    "iot": ("iot", "iot"),
    "sts": ("sts", "sts"),
}


def operations() -> set[tuple[str, str]]:
    """Every call of ``deployment/account.py``: the client's attribute, and the API's operation."""
    tree = ast.parse((PROJECT / "deployment" / "account.py").read_text("utf-8"))
    called = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func)
        if name == "_pages":
            method = node.args[1]
            assert isinstance(method, ast.Constant)
            called.add((dotted(node.args[0]).removeprefix("self._"), str(method.value)))
        elif name.startswith("self._") and name.count(".") == 2:
            client, method_name = name.removeprefix("self._").split(".")
            called.add((client, method_name))
    return {(client, api_name(client, method)) for client, method in called}


def api_name(client: str, method: str) -> str:
    service = boto3.client(_PREFIX[client][0], region_name="eu-central-1")  # type: ignore[call-overload]  # the stubs list known names only
    name: str = service.meta.method_to_api_mapping[method]
    service.close()
    return name


def test_the_policy_is_what_is_used() -> None:
    """The policy allows each call that account.py makes, what AWS asks for with it, and no
    more."""
    used = operations()
    assert len(used) == 11
    wanted = {f"{_PREFIX[client][1]}:{name}" for client, name in used} - {"sts:GetCallerIdentity"}
    for _, name in used:
        wanted |= DEPENDENT.get(name, set())
    allowed = [action for each in policy()["Statement"] for action in each["Action"]]
    assert sorted(allowed) == sorted(wanted)


def test_nothing_is_allowed_everywhere() -> None:
    """Only what has no resource of its own is allowed on all of them."""
    wide = [each["Sid"] for each in policy()["Statement"] if each["Resource"] == "*"]
    assert wide == ["SeeAndMakeDeployments"]
    assert all(each["Effect"] == "Allow" for each in policy()["Statement"])
