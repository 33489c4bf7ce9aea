"""What a certificate may do over HTTPS, where there is no client id.

Without a client id AWS leaves the thing policy variables empty, so what is granted by
them is granted to nobody here.
(AWS IoT Developer Guide, "Device communication protocols", "Thing policy variables".)
"""

from __future__ import annotations

from lab.iot_core.authorizer import Authorizer
from lab.iot_core.policy import Decision, evaluate
from lab.iot_core.registry import Registry
from lab.iot_core.tls import PeerCertificate


class HttpsPermission:
    """Answers from the registry as it is at that moment."""

    def __init__(self, registry: Registry, region: str, account_id: str) -> None:
        self._registry = registry
        self._arn = f"arn:aws:iot:{region}:{account_id}"
        self.certificate_fault = Authorizer(registry, region, account_id).certificate_fault

    def attached(self, peer: PeerCertificate, thing_name: str) -> bool:
        """Whether the certificate is one of the thing's."""
        return thing_name in self._registry.thing_names(peer.certificate_id)

    def decide(self, peer: PeerCertificate, action: str, resource: str) -> Decision:
        """May it do ``action`` to ``resource``, such as ``rolealias/NAME`` or ``thing/NAME``?"""
        return evaluate(
            self._registry.policy_documents(peer.certificate_id),
            action,
            f"{self._arn}:{resource}",
            {
                "iot:ClientId": None,
                "iot:CertificateId": peer.certificate_id,
                "iot:Certificate.Subject.CommonName": peer.common_name,
                "iot:Connection.Thing.ThingName": None,
                "iot:Connection.Thing.IsAttached": None,
            },
        )
