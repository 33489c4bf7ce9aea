"""What AWS asks for all of it: the prices of US East (N. Virginia), in dollars.

Looked up in November 2026; the first tier, and without the free tier. What a device costs
anyhow (its connection, its health messages), logs, and data transfer are left out.

- Messages, rules and registry: https://aws.amazon.com/iot-core/pricing/
- Jobs: https://aws.amazon.com/iot-device-management/pricing/ (remote actions)
- Lambda, on arm64: https://aws.amazon.com/lambda/pricing/
- DynamoDB, on demand: https://aws.amazon.com/dynamodb/pricing/on-demand/
- SNS: https://aws.amazon.com/sns/pricing/, EventBridge:
  https://aws.amazon.com/eventbridge/pricing/
- Step Functions, standard: https://aws.amazon.com/step-functions/pricing/
"""

from __future__ import annotations

from collections.abc import Mapping

from lab.fleet.fleet import Fleet

MILLION = 1e6
PRICES: Mapping[str, float] = {
    "IoT message": 1.00 / MILLION,
    "IoT rule triggered, with one action": 0.30 / MILLION,
    "IoT registry operation": 1.25 / MILLION,
    "IoT job execution": 0.003,
    "Lambda invocation": 0.20 / MILLION,
    "Lambda gigabyte-second": 0.0000133334,
    "DynamoDB write request unit": 0.625 / MILLION,
    "DynamoDB read request unit": 0.125 / MILLION,
    "SNS message": 0.50 / MILLION,
    "EventBridge event": 1.00 / MILLION,
    "Step Functions state transition": 25.0 / MILLION,
}
#: Calls that count as operations of the registry.
_REGISTRY = ("AttachThingPrincipal", "ListPrincipalThings", "ListThingPrincipalsV2")
#: A record with its certificate has some 2.5 KB, and each KB begun is a unit.
_UNITS_OF_A_WRITE = 3


def units(fleet: Fleet) -> dict[str, float]:
    """How many of each have been used so far."""
    count, messages = fleet.services.count, fleet.iot_core.messages
    return {
        "IoT message": messages["of rotations from devices"] + messages["of rotations to devices"],
        "IoT rule triggered, with one action": messages["rules"],
        "IoT registry operation": sum(count["iot", operation] for operation in _REGISTRY),
        "IoT job execution": len(fleet.iot_core.ended),
        "Lambda invocation": fleet.functions.invoked.total(),
        "Lambda gigabyte-second": fleet.functions.gigabyte_seconds,
        "DynamoDB write request unit": _UNITS_OF_A_WRITE * count["dynamodb", "PutItem"],
        "DynamoDB read request unit": count["dynamodb", "GetItem"] + count["dynamodb", "Query"],
        "SNS message": count["sns", "Publish"],
        "EventBridge event": count["events", "PutEvents"],
        "Step Functions state transition": fleet.machines.transitions,
    }


def dollars(fleet: Fleet) -> float:
    """What it has cost so far."""
    return sum(PRICES[name] * number for name, number in units(fleet).items())
