"""The AWS IoT policy that ``cloud/template.yaml`` has for core devices, for the lab's devices.

So that what the policy lacks is seen to be missing.
"""

from __future__ import annotations

from typing import Any

from lab.cloud.template import Template


def core_device_policy(*, region: str, account_id: str, **parameters: str) -> dict[str, Any]:
    """The policy document, the same for every thing; ``parameters`` of the template."""
    (policy,) = Template(parameters, region=region, account_id=account_id).device_policies()
    document: dict[str, Any] = policy["PolicyDocument"]
    return document
