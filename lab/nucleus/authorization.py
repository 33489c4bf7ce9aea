"""Whether a component may do what it asks for over IPC, by its ``accessControl``.

Classic and lite read the same policies differently; both readings are here, free of
sockets and state. Left out: policies for other components' plug-ins (secrets, shadows).

Sources: ``AuthorizationHandler``, ``AuthorizationModule``, ``AuthorizationPolicyParser``
and ``WildcardTrie`` of the classic nucleus; ``ipc_authz.c``, ``mqttproxy.c`` and
``policy_validation.c`` of lite, whose limits were measured.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any, TypeGuard

from lab.nucleus.configuration_tree import LITE_LEAF_BYTES, json_bytes
from lab.nucleus.policy_resource import (
    classic_topic_pattern,
    glob,
    invalid_resource,
    lite_topic_pattern,
)
from lab.nucleus.recipe import Runtime

MQTT_PROXY = "aws.greengrass.ipc.mqttproxy"
PUBSUB = "aws.greengrass.ipc.pubsub"
COMPONENT_METRIC = "aws.greengrass.ipc.componentmetric"
CLIENT_DEVICE_AUTH = "aws.greengrass.clientdevices.Auth"

# Services that policies can name here, and their operations.
OPERATIONS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        MQTT_PROXY: frozenset(
            {"aws.greengrass#PublishToIoTCore", "aws.greengrass#SubscribeToIoTCore"}
        ),
        PUBSUB: frozenset({"aws.greengrass#PublishToTopic", "aws.greengrass#SubscribeToTopic"}),
        COMPONENT_METRIC: frozenset({"aws.greengrass#PutComponentMetric"}),
        CLIENT_DEVICE_AUTH: frozenset({"aws.greengrass#SubscribeToCertificateUpdates"}),
    }
)
_NO_IDS: Mapping[str, Collection[str]] = MappingProxyType({})

# Measured on lite 2.6: all resources of one component for one service, about 50 of 54
# characters.
LITE_RESOURCES = 50
LITE_RESOURCE_CHARACTERS = 50 * 54


class AccessControl:
    """What the ``accessControl`` of one component allows on one nucleus.

    ``policies`` is that part of the component's configuration as it stands, well formed
    or not; None if there is none. ``ids_elsewhere`` holds, for each service, the policy
    ids of the device's other components: on classic an id that stands twice keeps the
    policies of that service from being loaded. ``problems`` says, as the nucleus would
    log it, what has no effect.
    """

    def __init__(
        self,
        policies: object,
        component: str,
        runtime: Runtime,
        thing_name: str,
        *,
        ids_elsewhere: Mapping[str, Collection[str]] = _NO_IDS,
    ) -> None:
        self._runtime = runtime
        self.problems: list[str] = []
        # (service, operation or "*") -> patterns of resources
        self._allowed: dict[tuple[str, str], list[re.Pattern[str]]] = {}
        if policies is None:
            return
        if runtime == "classic":
            self._load_classic(policies, component, ids_elsewhere)
        else:
            self._load_lite(policies, component, thing_name)

    def allows(self, service: str, operation: str, resource: str) -> bool:
        """Whether the component may do ``operation`` (``aws.greengrass#...``) on ``resource``."""
        if operation not in OPERATIONS.get(service, ()) or not resource:
            return False
        # Lite checks the requested resource as if it were a policy's.
        if self._runtime == "lite" and invalid_resource(resource):
            return False
        return any(
            pattern.fullmatch(resource)
            for named in (operation, "*")
            for pattern in self._allowed.get((service, named), ())
        )

    def _allow(self, service: str, operations: Iterable[str], pattern: re.Pattern[str]) -> None:
        for operation in operations:
            self._allowed.setdefault((service, operation), []).append(pattern)

    def _load_classic(
        self, policies: object, component: str, ids_elsewhere: Mapping[str, Collection[str]]
    ) -> None:
        try:
            parsed = _classic_policies(policies)
        except ValueError as error:
            self.problems.append(
                f"Unable to deserialize access control map for {component}: {error}"
            )
            return
        for service, entries in parsed.items():
            if service not in OPERATIONS:
                self.problems.append(
                    f"Component {service} is invalid or not registered with the "
                    "AuthorizationHandler"
                )
                continue
            twice = sorted(set(entries) & set(ids_elsewhere.get(service, ())))
            if twice or "" in entries:
                self.problems.append(
                    f"Component {service} contains an invalid policy: "
                    + (f'Duplicate policy ID "{twice[0]}"' if twice else "empty policy ID")
                )
                continue
            for policy_id, policy in entries.items():
                self._load_classic_policy(service, policy_id, policy)

    def _load_classic_policy(
        self, service: str, policy_id: str, policy: Mapping[str, list[str]]
    ) -> None:
        operations = policy.get("operations") or []
        if not operations:
            self.problems.append(f"{policy_id}: Policy operations are missing or invalid")
            return
        for operation in operations:
            if operation != "*" and operation not in OPERATIONS[service]:
                self.problems.append(
                    f"{policy_id}: Operation {operation} not registered with component {service}"
                )
        resources = policy.get("resources") or []
        if not resources:
            self.problems.append(f"{policy_id}: no resources, so nothing is allowed")
        for resource in resources:
            why = invalid_resource(resource)
            if why:
                self.problems.append(f"{policy_id}: {resource}: {why}")
                continue
            pattern = classic_topic_pattern if service == MQTT_PROXY else glob
            self._allow(service, operations, pattern(resource))

    def _load_lite(self, policies: object, component: str, thing_name: str) -> None:
        if not isinstance(policies, Mapping):
            self.problems.append(f"{component}: accessControl is not a map")
            return
        for service, entries in policies.items():
            why = _lite_unreadable(entries)
            if why:
                self.problems.append(
                    f"Failed to get policies for service {service} in component {component}: {why}"
                )
                continue
            for policy_id, policy in entries.items():
                if not isinstance(policy, Mapping):
                    # It gives up here: policies that come after are never looked at.
                    self.problems.append(f"{policy_id}: Policy value is not a map")
                    break
                self._load_lite_policy(service, policy_id, policy, thing_name)

    def _load_lite_policy(
        self, service: str, policy_id: str, policy: Mapping[str, Any], thing_name: str
    ) -> None:
        operations, resources = policy.get("operations"), policy.get("resources")
        if not _is_text_list(operations) or not _is_text_list(resources):
            self.problems.append(f"{policy_id}: operations and resources must be lists of text")
            return
        for resource in resources:
            why = invalid_resource(resource)
            if not why and re.search(r"(?<!\$)\{(?!iot:thingName\})", resource):
                why = "only {iot:thingName} is interpolated"
            if why:
                self.problems.append(f"{policy_id}: {resource}: {why}")
                continue
            text = resource.replace("{iot:thingName}", thing_name)
            if "*" in text and "+" in text and service == MQTT_PROXY:
                self.problems.append(f"{policy_id}: {resource}: with '*', '+' is only a character")
            self._allow(service, operations, glob(text))
            if service == MQTT_PROXY:
                self._allow(service, operations, lite_topic_pattern(text))


def _classic_policies(policies: object) -> dict[str, dict[str, dict[str, list[str]]]]:
    """Service -> policy id -> its lists. Raises ValueError where the nucleus's parser does."""
    if isinstance(policies, str):
        # A leaf is parsed: the nucleus does its best to understand what was meant.
        policies = json.loads(policies)
    parsed: dict[str, dict[str, dict[str, list[str]]]] = {}
    for service, entries in _map(policies, "accessControl").items():
        parsed[service] = {}
        for policy_id, policy in _map(entries, service).items():
            lists: dict[str, list[str]] = {}
            for key, value in _map(policy, policy_id).items():
                # Keys of a policy are not case-sensitive, and unknown ones are an error.
                name = key.lower()
                if name in ("operations", "resources"):
                    if not _is_text_list(value):
                        raise ValueError(f"{policy_id}.{key} must be a list of text")
                    lists[name] = list(value)
                elif name != "policydescription" or not isinstance(value, str):
                    raise ValueError(f"{policy_id}.{key} is not a property of a policy")
            parsed[service][policy_id] = lists
    return parsed


def _map(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{where} is not a map")
    return value


def _is_text_list(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _lite_unreadable(entries: object) -> str | None:
    """Why lite cannot read the policies of a service, so that all of it is refused, or None."""
    if not isinstance(entries, Mapping):
        return "not a map"
    resources: list[object] = []
    for policy_id, policy in entries.items():
        for key, leaf in policy.items() if isinstance(policy, Mapping) else ():
            size = json_bytes(leaf)
            if size > LITE_LEAF_BYTES:
                return f"{policy_id}.{key} has {size} bytes; the limit is {LITE_LEAF_BYTES}"
            if key == "resources" and isinstance(leaf, list):
                resources += leaf
    characters = sum(len(str(resource)) for resource in resources)
    if len(resources) > LITE_RESOURCES or characters > LITE_RESOURCE_CHARACTERS:
        return f"{len(resources)} resources of {characters} characters do not fit"
    return None
