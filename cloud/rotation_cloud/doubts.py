"""Why what a device reports is not believed: a closed list, a sentence each."""

from __future__ import annotations

from enum import StrEnum


class Doubt(StrEnum):
    """A code, as it stands in the security event."""

    MALFORMED = "malformed"
    OTHER_THING = "other-thing"
    NOT_ATTACHED = "not-attached"
    WRONG_SIGNATURE = "wrong-signature"
    UNSIGNED = "unsigned"
    TOO_MANY = "too-many"


SENTENCES = {
    Doubt.MALFORMED: "It sent a message that cannot be understood.",
    Doubt.OTHER_THING: "It sent a message in the name of another thing.",
    Doubt.NOT_ATTACHED: "The certificate that it is connected with is not attached to the thing.",
    Doubt.WRONG_SIGNATURE: "It sent an alert that the key of its certificate has not signed.",
    Doubt.UNSIGNED: "It sent an alert without a signature.",
    Doubt.TOO_MANY: "It sent more alerts than a device can have reason for in one day.",
}
ADVICE = {
    Doubt.MALFORMED: (
        "If the component on the device is newer than the backend, update the backend. Else look "
        "at the device: something other than CertKeeper publishes there."
    ),
    Doubt.OTHER_THING: (
        "Look at the device that holds this certificate. See that no IoT policy lets a device "
        'connect with the client id of another one (docs/protocol.md, "IoT policy").'
    ),
    Doubt.NOT_ATTACHED: (
        "Find out whose certificate it is (aws iot list-principal-things), and why it may connect "
        "with this client id. If it is the device's own, attach it to the thing."
    ),
    Doubt.WRONG_SIGNATURE: (
        "Treat the device as tampered with until you know better: look at it, and rotate or "
        "revoke its certificate. See its health message for what it says of itself."
    ),
    Doubt.UNSIGNED: (
        "If your devices cannot sign (keys in a PKCS#11 token, or signAlerts is false), set the "
        "stack's parameter RequireSignedAlerts to false. Else look at the device: its key may "
        "be unreadable, or the alert is not its own."
    ),
    Doubt.TOO_MANY: (
        "The rest of today's alerts of this device is not told. Look at the device: what it "
        "watches has changed, or somebody has its key."
    ),
}


class NotBelieved(Exception):
    """What is reported is not believed; ``detail`` may hold the sender's own words."""

    def __init__(self, doubt: Doubt, detail: str) -> None:
        super().__init__(f"{doubt.value} {detail}")
        self.doubt = doubt
        self.detail = detail


class Outdated(Exception):
    """What is reported was true before a rotation: there is nothing to say of it."""
