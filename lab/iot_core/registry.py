"""What the endpoint needs to know of an account's registry: certificates, policies, things."""

from __future__ import annotations

from typing import Any, Protocol


class RegisteredCertificate(Protocol):
    """A certificate as registered; ``certificate_id`` is the lowercase SHA-256 of its DER."""

    @property
    def certificate_id(self) -> str: ...
    @property
    def arn(self) -> str: ...
    @property
    def status(self) -> str: ...  # ACTIVE, INACTIVE, REVOKED, PENDING_ACTIVATION, ...
    @property
    def pem(self) -> str: ...


class Registry(Protocol):
    """Asked on the lab's loop at every handshake, connect and message: must answer from memory."""

    def certificate(self, certificate_id: str) -> RegisteredCertificate | None:
        """The certificate with this id, whatever its status, or None if it is not registered."""

    def policy_documents(self, certificate_id: str) -> list[dict[str, Any]]:
        """The default versions of the policies that apply to the certificate, parsed."""

    def thing_names(self, certificate_id: str) -> list[str]:
        """The things that the certificate is attached to."""

    def exclusive_thing(self, certificate_id: str) -> str | None:
        """The thing that the certificate is exclusively attached to, if it is so attached."""


class AutoRegistration(Protocol):
    """Just-in-time registration, asked on the lab's loop in the midst of a handshake."""

    def presented(self, der: bytes) -> tuple[str, bytes] | None:
        """Topic and payload of the event to publish for the certificate (DER), if there is one."""
