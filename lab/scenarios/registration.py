"""Registration: a device from the factory presents a certificate of the operator's own CA."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lab.account.account import DeviceIdentity
from lab.nucleus.core_device import CoreDevice
from lab.scenarios.scenario import require, scenario
from lab.scenarios.stage import THING, Stage

REGISTRATION = "Registration"
#: The stack's own name for its policy.
POLICY = "certkeeper-core-device"

#: Every AWS call of the function, and what fails it.
CALLS = (
    ("iot", "DescribeCertificate"),
    ("iot", "DescribeCACertificate"),
    ("iot", "ListPrincipalThings"),
    ("iot", "ListThingPrincipalsV2"),
    ("iot", "CreateThing"),
    ("iot", "AttachPolicy"),
    ("iot", "AttachThingPrincipal"),
    ("iot", "UpdateCertificate"),
    ("dynamodb", "GetItem"),
    ("dynamodb", "PutItem"),
)


def registering(
    name: str | None = None, **parameters: str
) -> Callable[[Callable[[Stage], None]], Callable[[Stage], None]]:
    """A scenario whose device nobody knows, in an account that registers devices of the own CA."""
    return scenario(
        REGISTRATION,
        name=name,
        backend={"RegistersDevices": "true", **parameters},
        stage={"factory_fresh": True},
    )


def trust_the_factory(stage: Stage) -> str:
    """Register the factory's CA with auto-registration, as an operator does once; its id."""
    account = stage.lab.account
    return account.register_ca(account.own_authority.certificate_pem, automatic=True)


def require_registered(stage: Stage, told: int = 0) -> None:
    """The device is connected, with one certificate, its thing, and the stack's policy."""
    stage.verdict(rotated=False, told=told)
    require(stage.policies() == [POLICY], f"its policies are {stage.policies()}")
    found = stage.lab.account.registry.exclusive_thing(stage.old.certificate_id)
    require(found == THING, f"it is exclusively attached to {found}")


def newcomer(stage: Stage) -> tuple[CoreDevice, DeviceIdentity]:
    """Another device from the factory, with the same name."""
    account = stage.lab.account
    identity = account.certify(THING, account.own_authority)
    return another(stage, identity), identity


def another(stage: Stage, identity: DeviceIdentity) -> CoreDevice:
    """A second device, with that identity."""
    return stage.lab.lay_out(identity, runtime=stage.device.layout.runtime, folder="another")


def things(stage: Stage) -> list[str]:
    """Every thing of the account."""
    return [one["thingName"] for one in stage.lab.account.client("iot").list_things()["things"]]


def wait_for_refusal(stage: Stage, certificate_id: str, after: int = 0) -> None:
    """Until the endpoint has turned the certificate away, and the function has looked at it."""
    stage.timeline.wait_for("refused", source="iot-core", after=after, principal=certificate_id)
    stage.backend.idle()


@registering()
def factory_fresh(stage: Stage) -> None:
    """A device from the factory: refused, registered, let in; then it rotates like any other."""
    trust_the_factory(stage)
    stage.start()
    stage.timeline.wait_for("refused", source="iot-core", principal=stage.old.certificate_id)
    require_registered(stage)
    stage.verdict(rotated=True, job=stage.rotate(), told=0)
    require(things(stage) == [THING], f"the things are {things(stage)}")


@registering("factory-of-one-ca", RegistrationCaId="0" * 64)
def factory_of_another_ca(stage: Stage) -> None:
    """One CA is named, and this is another one: the rule does not even see its devices."""
    trust_the_factory(stage)
    called = stage.backend.aws_calls
    stage.device.start()
    for _ in range(2):
        wait_for_refusal(stage, stage.old.certificate_id, stage.timeline.mark())
    require(things(stage) == [], "a thing was made")
    require(stage.backend.aws_calls == called, "the function was invoked")


@scenario(REGISTRATION, stage={"factory_fresh": True})
def registration_switched_off(stage: Stage) -> None:
    """Registration is not deployed: the certificate waits, and lets nobody in."""
    trust_the_factory(stage)
    stage.device.start()
    wait_for_refusal(stage, stage.old.certificate_id)
    status = stage.lab.account.registry.certificate(stage.old.certificate_id)
    require(status is not None and status.status == "PENDING_ACTIVATION", f"it is {status}")
    require(things(stage) == [], "a thing was made")


@registering()
def factory_of_a_stranger(stage: Stage) -> None:
    """A CA that nobody registered: its device is refused and not even noted."""
    stage.device.start()
    wait_for_refusal(stage, stage.old.certificate_id)
    require(
        stage.lab.account.registry.certificate(stage.old.certificate_id) is None, "it was noted"
    )


@registering()
def device_denied(stage: Stage) -> None:
    """A device on the deny list stays out, told once; taken from the list, it is let in."""
    trust_the_factory(stage)
    dynamodb = stage.lab.account.client("dynamodb")
    (table,) = dynamodb.list_tables()["TableNames"]
    key = {"thing": {"S": THING}, "jobId": {"S": "#denied"}}
    # As docs/operations.md has it.
    dynamodb.put_item(
        TableName=table,
        Item={**key, "body": {"M": {"why": {"S": "stolen"}}}},
    )
    stage.device.start()
    for _ in range(2):  # lite waits ever longer
        wait_for_refusal(stage, stage.old.certificate_id, stage.timeline.mark())
    (told,) = stage.notifications()
    require("on the deny list: stolen" in str(told.details["message"]), "the reason is not told")
    require(things(stage) == [], "a thing was made")
    dynamodb.delete_item(TableName=table, Key=key)
    stage.wait_until_listening()
    require_registered(stage, told=1)


@registering(RegistrationThings="known")
def unknown_thing(stage: Stage) -> None:
    """Only known things are let in: the device stays out until an operator makes its thing."""
    trust_the_factory(stage)
    stage.device.start()
    wait_for_refusal(stage, stage.old.certificate_id)
    stage.lab.account.client("iot").create_thing(
        thingName=THING, attributePayload={"attributes": {"hall": "3"}}
    )
    stage.wait_until_listening()
    require_registered(stage, told=1)
    described = stage.lab.account.client("iot").describe_thing(thingName=THING)
    require(described["attributes"] == {"hall": "3"}, "the thing was changed")


@registering()
def thing_in_use(stage: Stage) -> None:
    """A second device of the same name is refused, once told, and the first one works on."""
    trust_the_factory(stage)
    stage.start()
    require_registered(stage)
    other, identity = newcomer(stage)
    try:
        other.start()
        for _ in range(2):
            wait_for_refusal(stage, identity.certificate_id, stage.timeline.mark())
        require_registered(stage, told=1)
    finally:
        other.stop()
    stage.verdict(rotated=True, job=stage.rotate(), told=1)


@registering(RegistrationOfThingInUse="replace")
def thing_replaced(stage: Stage) -> None:
    """Where that is allowed, a device provisioned anew replaces the old one; people hear of it."""
    trust_the_factory(stage)
    stage.start()
    require_registered(stage)
    stage.device.stop()
    other, identity = newcomer(stage)
    try:
        other.start()
        stage.timeline.wait_for(
            "connected", source="iot-core", principal=identity.certificate_id, timeout=60
        )
        active = stage.active_certificates()
        require(active == {identity.certificate_id}, f"ACTIVE are {active}")
        require(len(stage.notifications()) == 1, "people were not told once")
    finally:
        other.stop()


@registering()
def retired_certificate_comes_back(stage: Stage) -> None:
    """The certificate of the factory is used again after a rotation: it stays out."""
    trust_the_factory(stage)
    stage.start()
    account = stage.lab.account
    stage.verdict(rotated=True, job=stage.rotate(), told=0)
    # The device loses its new certificate as well: nothing is in the thief's way but the list.
    stage.device.stop()
    stage.deactivate(stage.certificate_on_disk())
    thief = another(stage, stage.old)
    mark = stage.timeline.mark()
    try:
        thief.start()
        wait_for_refusal(stage, stage.old.certificate_id, mark)
    finally:
        thief.stop()
    found = account.registry.certificate(stage.old.certificate_id)
    require(found is not None and found.status == "PENDING_ACTIVATION", f"it is {found}")
    require("it was retired" in str(stage.notifications()[-1].details["message"]), "not told why")


def _fails(service: str, operation: str) -> None:
    def play(stage: Stage) -> None:
        def fault(at: str, called: str, _: Mapping[str, Any]) -> str | None:
            broken = (at, called) == (service, operation)
            return "InternalFailureException" if broken else None

        trust_the_factory(stage)
        stage.backend.aws_fault = fault
        stage.device.start()
        stage.timeline.wait_for("dead-letter", source="lambda", timeout=60)
        require(stage.active_certificates() == set(), "it is ACTIVE all the same")
        stage.backend.aws_fault = lambda *_: None
        stage.wait_until_listening()
        require_registered(stage)
        require(things(stage) == [THING], f"the things are {things(stage)}")

    play.__doc__ = (
        f"{operation} of {service} fails until it is mended: the device stays out, and is then "
        "let in by its next try."
    )
    registering(f"registration-fails-{service}-{operation}".lower())(play)


for _call in CALLS:
    _fails(*_call)
