"""A device's message as the rule hands it over, and whether it may speak for the thing.

The rule gives the message's fields with ``thingName``, ``topic``, ``clientId`` and
``principal`` written over them, so what a device puts there itself does not count.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rotation_cloud.ports import Cloud, NotFound, certificate_id_of
from rotation_protocol import topics
from rotation_protocol.fields import Fields, WireError
from rotation_protocol.reasons import RejectionCode


class Refusal(Exception):
    """What is asked is not done; the device is told why."""

    def __init__(self, code: RejectionCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Asking:
    """Who asks, over which certificate, and on which topic."""

    thing: str
    principal: str
    client_id: str
    topic: str
    payload: bytes

    @classmethod
    def of(cls, event: Mapping[str, Any], prefix: str, action: str) -> Asking:
        """Raises WireError for an event that is not of our rule: there is nobody to answer."""
        fields = Fields(event)
        thing: str = fields.required("thingName", str)
        topic: str = fields.required("topic", str)
        if topic != topics.rotation(prefix, thing, action):
            raise WireError(f"topic is not that of {action} for the thing")
        return cls(
            thing=thing,
            principal=fields.required("principal", str),
            client_id=fields.required("clientId", str),
            topic=topic,
            payload=json.dumps(dict(event)).encode(),
        )


def check_client_id(asking: Asking) -> None:
    """The nucleus's client ids are the thing's name, alone or with ``#2`` and so on.

    Raises Refusal.
    """
    if asking.client_id.partition("#")[0] != asking.thing:
        raise Refusal(RejectionCode.NOT_ALLOWED, "the client id is not the thing's")


def attachment_of(cloud: Cloud, asking: Asking) -> tuple[str, str]:
    """ARN and attachment type of the certificate that the device is connected with.

    Raises Refusal if it is not attached to the thing.
    """
    try:
        attached = cloud.registry.principals(asking.thing)
    except NotFound:
        attached = {}
    for arn, attachment in attached.items():
        if certificate_id_of(arn) == asking.principal:
            return arn, attachment
    raise Refusal(RejectionCode.NOT_ALLOWED, "the certificate is not attached to the thing")
