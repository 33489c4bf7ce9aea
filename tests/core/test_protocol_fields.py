"""Messages that are not as they should be: the field at fault is named, nothing else happens."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotation_protocol.codec import decode_alert, decode_health, encode_alert, encode_health
from rotation_protocol.fields import MAX_MESSAGE_BYTES, WireError
from rotation_protocol.messages import Alert, Health
from tests.core.messages import ALERT, HEALTH
from tests.core.strategies import any_json, examples

DECODERS = pytest.mark.parametrize("decode", [decode_alert, decode_health])
Decoder = Callable[[bytes], object]

ALERT_FIELDS = [
    *("type", "thingName", "role", "source", "severity", "critical", "threshold", "checkedAt"),
    *("componentVersion", "version"),
]
ALERT_OPTIONAL = [
    *("nextCheckAt", "certificateId", "subject", "issuer", "serialNumber", "notBefore"),
    *("notAfter", "deadline", "deadlineReason", "daysRemaining", "keyAlgorithm", "detail"),
    "signature",
]
HEALTH_FIELDS = [
    *("version", "thingName", "status", "checkedAt", "componentVersion", "runtime"),
    *("waitingAlerts", "certificates", "certificatesLeftOut", "checks"),
    *("certificates[0].role", "certificates[0].source", "certificates[0].state"),
    *("checks[0].name", "checks[0].status", "checks[0].detail"),
]
HEALTH_OPTIONAL = [
    *("nextCheckAt", "certificates[0].certificateId", "certificates[0].notAfter"),
    *("certificates[0].deadline", "certificates[0].deadlineReason"),
    *("certificates[0].daysRemaining", "certificates[0].detail", "checks[0].remedy"),
    "certificates[0].keyAlgorithm",
]
CASES = [
    *((ALERT, name, True) for name in ALERT_FIELDS),
    *((ALERT, name, False) for name in ALERT_OPTIONAL),
    *((HEALTH, name, True) for name in HEALTH_FIELDS),
    *((HEALTH, name, False) for name in HEALTH_OPTIONAL),
]
FIELDS = pytest.mark.parametrize(
    ("message", "name", "required"), CASES, ids=[name for _, name, _ in CASES]
)


def test_fields_of_the_messages() -> None:
    """The names on the wire are those of the contract; nothing is left out, nothing added."""
    assert set(json.loads(encode_alert(ALERT))) == {*ALERT_FIELDS, *ALERT_OPTIONAL}
    health = json.loads(encode_health(HEALTH))
    assert health.pop("type") == "certificates.health"
    names = set(health) | {f"certificates[0].{name}" for name in health["certificates"][0]}
    names |= {f"checks[0].{name}" for name in health["checks"][0]}
    assert names == {*HEALTH_FIELDS, *HEALTH_OPTIONAL}


@FIELDS
def test_missing_field(message: Alert | Health, name: str, required: bool) -> None:
    """A required field that is missing, or null, is named; an optional one may be either."""
    for change in (remove, lambda holder, key: holder.update({key: None})):
        payload = changed(message, name, change)
        if required:
            with pytest.raises(WireError, match=rf"^{pattern(name)} is missing"):
                decode(message)(payload)
        else:
            decode(message)(payload)


@FIELDS
@pytest.mark.parametrize("value", [[], {}, 1.5, [None]], ids=repr)
def test_ill_typed_field(message: Alert | Health, name: str, required: bool, value: Any) -> None:
    """A field of the wrong type is named, with the list and place it stands in."""
    if isinstance(value, list) and name in ("certificates", "checks"):
        value = "text"
    with pytest.raises(WireError, match=rf"^{pattern(name)} is (not|missing)"):
        decode(message)(changed(message, name, lambda holder, key: holder.update({key: value})))


@FIELDS
def test_type_is_exact(message: Alert | Health, name: str, required: bool) -> None:
    """true is no number, 1 is no truth, and neither is text."""
    for value in (True, 1, "1"):
        if isinstance(field_of(message, name), type(value)) or name == "threshold":
            continue
        with pytest.raises(WireError, match=rf"^{pattern(name)} is not"):
            decode(message)(
                changed(message, name, lambda holder, key, v=value: holder.update({key: v}))
            )


@pytest.mark.parametrize(
    ("message", "name", "value"),
    [
        (ALERT, "type", "certificate.fine"),
        (ALERT, "type", "x" * 100_000),
        (ALERT, "deadlineReason", "boredom"),
        (ALERT, "version", 2),
        (ALERT, "checkedAt", "yesterday"),
        (ALERT, "notAfter", "2050-02-30T00:00:00Z"),
        (ALERT, "threshold", True),
        (HEALTH, "checks[0].name", "luck"),
        (HEALTH, "checks[0].status", "fine"),
        (HEALTH, "certificates[0].deadline", "never"),
        (HEALTH, "certificates", [1]),
        (HEALTH, "checks", [[]]),
    ],
)
def test_value_out_of_the_list(message: Alert | Health, name: str, value: Any) -> None:
    """A value that the contract does not know is an error that names the field, in short."""
    with pytest.raises(WireError, match=rf"^{pattern(name)} ") as caught:
        decode(message)(changed(message, name, lambda holder, key: holder.update({key: value})))
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("message", [ALERT, HEALTH])
def test_unknown_fields_are_ignored(message: Alert | Health) -> None:
    """A newer sender may say more."""
    fields = json.loads(encode(message))
    fields["more"] = {"nested": [1, 2.5]}
    for name in ("certificates", "checks"):
        for item in fields.get(name, []):
            item["more"] = None
    assert decode(message)(json.dumps(fields).encode()) == message


@DECODERS
@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x00",
        b"not json",
        b"\xff\xfe\xfd",
        b"\xef\xbb\xbf{}",
        b"null",
        b"[]",
        b"1",
        b'"text"',
        b"{",
        b"{}",
        b'{"version":1}',
        b'{"version":NaN}',
        b'{"version":1e999}',
        b'{"version":' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"a":' * 20_000,
        b"[" * 50_000 + b"]" * 50_000,
        b" " * (MAX_MESSAGE_BYTES + 1),
        b'{"version":1,"pad":"' + b"x" * 1_000_000 + b'"}',
    ],
    ids=lambda payload: repr(payload[:12]),
)
def test_payload_that_is_no_message(decode: Decoder, payload: bytes) -> None:
    """Garbage, a megabyte, or brackets without end are a WireError, and nothing else."""
    with pytest.raises(WireError):
        decode(payload)


@pytest.mark.parametrize("message", [ALERT, HEALTH])
def test_largest_message(message: Alert | Health) -> None:
    """AWS IoT carries 128 KiB; a byte more is refused unread, however well it is made."""
    payload = encode(message)
    largest = payload + b" " * (MAX_MESSAGE_BYTES - len(payload))
    assert decode(message)(largest) == message
    with pytest.raises(WireError, match="larger than 131072 bytes"):
        decode(message)(largest + b" ")


@DECODERS
@examples(100)
@given(st.binary(max_size=60) | any_json.map(lambda value: json.dumps(value).encode()))
def test_any_bytes(decode: Decoder, payload: bytes) -> None:
    """No bytes make it raise anything else."""
    with pytest.raises(WireError):
        decode(payload)


@pytest.mark.parametrize("message", [ALERT, HEALTH])
def test_damaged_message(message: Alert | Health) -> None:
    """Cut anywhere, or with any byte changed, a message is read or is a WireError."""
    payload = encode(message)
    chance = random.Random(7)
    damaged = [payload[:length] for length in range(len(payload))]
    for place in range(len(payload)):
        flipped = bytearray(payload)
        flipped[place] ^= 1 << chance.randrange(8)
        damaged.append(bytes(flipped))
    for candidate in damaged:
        try:
            decode(message)(candidate)
        except WireError:
            continue


# -- how the cases above change a message --------------------------------------------


def encode(message: Alert | Health) -> bytes:
    return encode_alert(message) if isinstance(message, Alert) else encode_health(message)


def decode(message: Alert | Health) -> Decoder:
    return decode_alert if isinstance(message, Alert) else decode_health


def holder_of(fields: dict[str, Any], name: str) -> tuple[dict[str, Any], str]:
    """The object that holds a field such as ``checks[0].name``, and its name there."""
    group, _, inner = name.rpartition("[0].")
    return (fields[group][0], inner) if group else (fields, inner)


def field_of(message: Alert | Health, name: str) -> Any:
    holder, key = holder_of(json.loads(encode(message)), name)
    return holder[key]


def remove(holder: dict[str, Any], key: str) -> None:
    del holder[key]


def changed(message: Alert | Health, name: str, change: Callable[..., None]) -> bytes:
    fields = json.loads(encode(message))
    change(*holder_of(fields, name))
    return json.dumps(fields).encode()


def pattern(name: str) -> str:
    return name.replace("[", r"\[").replace("]", r"\]").replace(".", r"\.")
