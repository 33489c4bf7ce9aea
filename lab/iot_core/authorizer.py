"""Who is connected, and what the account's registry and policies let them do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lab.iot_core.policy import Decision, evaluate
from lab.iot_core.registry import Registry

_RESOURCES = {
    "iot:Connect": "client",
    "iot:Publish": "topic",
    "iot:RetainPublish": "topic",
    "iot:Receive": "topic",
    "iot:Subscribe": "topicfilter",
}


@dataclass(frozen=True)
class Principal:
    """A client as its certificate and CONNECT name it."""

    certificate_id: str
    common_name: str | None
    client_id: str


class Authorizer:
    """Answers from the registry as it is at that moment, so a changed policy counts at once."""

    def __init__(self, registry: Registry, region: str, account_id: str) -> None:
        self._registry = registry
        self._arn = f"arn:aws:iot:{region}:{account_id}"

    def certificate_fault(self, certificate_id: str) -> str | None:
        """Why the certificate does not let anybody in, or None if it does."""
        certificate = self._registry.certificate(certificate_id)
        if certificate is None:
            return "certificate not registered"
        if certificate.status != "ACTIVE":
            return f"certificate {certificate.status}"
        return None

    def decide(self, principal: Principal, action: str, name: str) -> Decision:
        """May the principal do this to the client, topic or topic filter of that name?"""
        return evaluate(
            self._registry.policy_documents(principal.certificate_id),
            action,
            f"{self._arn}:{_RESOURCES[action]}/{name}",
            self._values(principal),
        )

    def _values(self, principal: Principal) -> Mapping[str, str | None]:
        # Thing variables speak of the thing that the certificate is exclusively attached to;
        # else of the thing whose name is the client id, if it is attached.
        # (AWS IoT Developer Guide, "Associating an AWS IoT thing to an MQTT client connection".)
        thing = self._registry.exclusive_thing(principal.certificate_id)
        if thing is None:
            names = self._registry.thing_names(principal.certificate_id)
            thing = principal.client_id if principal.client_id in names else None
        return {
            "iot:ClientId": principal.client_id,
            "iot:CertificateId": principal.certificate_id,
            "iot:Certificate.Subject.CommonName": principal.common_name,
            "iot:Connection.Thing.ThingName": thing,
            "iot:Connection.Thing.IsAttached": "true" if thing is not None else "false",
        }
