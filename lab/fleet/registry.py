"""The registry of AWS IoT in memory, with its rules enforced, and the ports that ask it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field

from rotation_cloud import ports
from rotation_cloud.create import public_key_of
from rotation_cloud.ports import (
    InUse,
    Issuance,
    Listed,
    NotFound,
    Order,
    Refused,
    Registered,
)

THING = "press-7"
REGION, ACCOUNT_ID = "eu-west-1", "123456789012"
BASE = f"arn:aws:iot:{REGION}:{ACCOUNT_ID}"
EXCLUSIVE, SHARED = "EXCLUSIVE_THING", "NON_EXCLUSIVE_THING"


@dataclass
class Certificate:
    """A registered certificate."""

    arn: str
    key: str = ""
    pem: str = ""
    is_active: bool = True
    policies: set[str] = field(default_factory=set)
    things: dict[str, str] = field(default_factory=dict)
    created: float = 0.0
    is_pending: bool = False
    ca_id: str = ""


class Registry:
    """ports.Registry; a detached thing holds a certificate for ``lag`` more seconds.

    ``deactivated`` hears of each certificate that opens nothing any more.
    """

    def __init__(self, clock: ports.Clock) -> None:
        self.certificates: dict[str, Certificate] = {}
        self.known = {THING}
        self.lag = 0.0
        self.deactivated: Callable[[str], None] = lambda _arn: None
        self.deleted_things: set[str] = set()
        self._clock = clock
        self._made = 0
        self._held_until: dict[str, float] = {}

    def registered(self, certificate_id: str) -> Registered:
        found = self.get(f"{BASE}:cert/{certificate_id}")
        status = "PENDING_ACTIVATION" if found.is_pending else _status(found)
        return Registered(found.arn, found.pem, status, found.ca_id, found.created)

    def add(
        self,
        name: str,
        attachment: str = SHARED,
        policies: Sequence[str] = ("core",),
        thing: str = THING,
        *,
        key: str = "",
    ) -> str:
        """An ACTIVE certificate of the thing, as an operator makes it; its id."""
        certificate_id = hashlib.sha256(name.encode()).hexdigest()
        arn = f"{BASE}:cert/{certificate_id}"
        self.certificates[arn] = Certificate(
            arn, key, policies=set(policies), created=self._clock.now()
        )
        self.known.add(thing)
        self.attach_thing(arn, thing, attachment)
        return certificate_id

    def register(self, key: str) -> str:
        """A new ACTIVE certificate, attached to nothing; its ARN."""
        self._made += 1
        arn = f"{BASE}:cert/{hashlib.sha256(f'{key}{self._made}'.encode()).hexdigest()}"
        self.certificates[arn] = Certificate(arn, key, created=self._clock.now())
        return arn

    def active(self) -> set[str]:
        """The ids of all certificates that open anything."""
        return {c.arn.rpartition("/")[2] for c in self.certificates.values() if c.is_active}

    def principals(self, thing: str) -> dict[str, str]:
        if thing in self.deleted_things:
            raise NotFound(thing)
        found = {c.arn: c.things[thing] for c in self.certificates.values() if thing in c.things}
        if not found and thing not in self.known:
            raise NotFound(thing)
        return found

    def things(self, arn: str) -> Sequence[str]:
        return list(self.get(arn).things)

    def policies(self, arn: str) -> Sequence[str]:
        return sorted(self.get(arn).policies)

    def is_active(self, certificate_id: str) -> bool:
        arn = f"{BASE}:cert/{certificate_id}"
        return arn in self.certificates and self.certificates[arn].is_active

    def stray(self, public_keys: Set[str], since: float) -> Sequence[str]:
        return [
            c.arn
            for c in self.certificates.values()
            if c.key in public_keys and not c.things and c.created >= since
        ]

    def attach_policy(self, arn: str, policy: str) -> None:
        self.get(arn).policies.add(policy)

    def detach_policy(self, arn: str, policy: str) -> None:
        certificate = self.get(arn)
        if policy not in certificate.policies:
            raise NotFound(policy)
        certificate.policies.remove(policy)

    def attach_thing(self, arn: str, thing: str, attachment: str) -> None:
        certificate = self.get(arn)
        others = {name: kind for name, kind in certificate.things.items() if name != thing}
        if others and EXCLUSIVE in (attachment, *others.values()):
            raise Refused(arn)
        if thing not in self.known:
            raise NotFound(thing)
        certificate.things[thing] = attachment

    def detach_thing(self, arn: str, thing: str) -> None:
        certificate = self.get(arn)
        if thing not in certificate.things:
            raise NotFound(thing)
        del certificate.things[thing]
        self._held_until[arn] = self._clock.now() + self.lag

    def deactivate(self, arn: str) -> None:
        self.get(arn).is_active = False
        self.deactivated(arn)

    def delete(self, arn: str) -> None:
        certificate = self.get(arn)
        if self._clock.now() < self._held_until.get(arn, 0.0):
            raise InUse(arn)
        if certificate.is_active or certificate.things or certificate.policies:
            raise InUse(arn)
        del self.certificates[arn]
        self._held_until.pop(arn, None)

    def get(self, arn: str) -> Certificate:
        if arn not in self.certificates:
            raise NotFound(arn)
        return self.certificates[arn]


class Registrar:
    """ports.Registrar, on the same registry; ``cas`` are the registered CAs by their id."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.cas: dict[str, Registered] = {}

    def ca(self, ca_id: str) -> Registered:
        if ca_id not in self.cas:
            raise NotFound(ca_id)
        return self.cas[ca_id]

    def create_thing(self, thing: str) -> None:
        self._registry.known.add(thing)

    def activate(self, arn: str) -> None:
        found = self._registry.get(arn)
        found.is_active, found.is_pending = True, False


class Issuer:
    """ports.Issuer, as little idempotent as AWS IoT; ``refuses`` every CSR if it is set."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.refuses = False
        self.padding = ""

    def issue(self, order: Order) -> Issuance:
        if self.refuses:
            raise Refused("the CSR violates constraints")
        assert len(order.token) == 36
        arn = self._registry.register(public_key_of(order.csr))
        return Issuance(arn, f"PEM of {arn}{self.padding}")


class Census:
    """ports.Census."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def certificates(self) -> Iterator[Listed]:
        found = list(self._registry.certificates.values())
        yield from [Listed(one.arn, _status(one), one.created) for one in found]

    def status(self, certificate_id: str) -> str:
        found = self._registry.certificates.get(f"{BASE}:cert/{certificate_id}")
        return "" if found is None else _status(found)

    def public_key(self, certificate_id: str) -> str:
        found = self._registry.certificates.get(f"{BASE}:cert/{certificate_id}")
        return "" if found is None else found.key


def _status(certificate: Certificate) -> str:
    return "ACTIVE" if certificate.is_active else "INACTIVE"
