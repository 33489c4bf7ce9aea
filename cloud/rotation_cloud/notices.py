"""What people are told, in words: what happened, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence

from rotation_cloud.admission import Reason
from rotation_cloud.ports import Cloud

#: https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
_MAX_SUBJECT = 100


def creation_failed(
    cloud: Cloud, thing: str, job_id: str, code: str, detail: str, left: str | None
) -> None:
    """No certificate could be issued; ``left`` is the ARN of one that could not be removed."""
    advice = "Look at the detail and at the function's log. The device may ask again by itself."
    if code == "csr-refused":
        advice = (
            "Check keyAlgorithm and signingAlgorithm in the component's configuration; if a signer "
            "of your own refused, its reason is in the detail."
        )
    if left is not None:
        advice += (
            f" {left} could not be removed yet: it is tried again when the device asks again or "
            "the job ends. If it is still there after that, deactivate and delete it."
        )
    _tell(
        cloud, f"No certificate for {thing}", thing, job_id, "CREATE_FAILED", code, detail, advice
    )


def backend_failed(cloud: Cloud, thing: str, job_id: str, action: str, detail: str) -> None:
    """A device's message could not be served, for a reason that is not the device's."""
    _tell(
        cloud,
        f"CertKeeper could not serve {thing}",
        thing,
        job_id,
        f"{action.upper()}_FAILED",
        "internal",
        detail,
        "Look at the detail and at the function's log. The device may ask again by itself.",
    )


def rotation_failed(
    cloud: Cloud, thing: str, job_id: str, status: str, reason: str, detail: str
) -> None:
    """A rotation job ended without success."""
    advice = {
        "FAILED": "The device keeps the certificate that it uses. Look the reason up in "
        "docs/protocol.md, mend it, and start a new job.",
        "TIMED_OUT": "The device did not finish in time; it goes back to a valid certificate by "
        "itself. See that it is online and healthy, then start a new job.",
        "EVENT_LOST": "The job ended, and no event of it arrived. See that job-execution events "
        "are switched on (aws iot describe-event-configurations).",
        "REJECTED": "The device did not take the job. See its health message, then start a new "
        "job.",
    }.get(
        status,
        "If you ended the job yourself there is nothing to do; else see that the device is "
        "healthy, and start a new job.",
    )
    _tell(
        cloud,
        f"Certificate rotation of {thing}: {status}",
        thing,
        job_id,
        status,
        reason,
        detail,
        advice,
    )


def review_needed(
    cloud: Cloud, thing: str, job_id: str, reason: str, detail: str, history: str
) -> None:
    """A workflow does not know how to go on by itself; ``history`` are its attempts, in words."""
    advice = {
        "attempts-failed": "The device works on with the certificate that it has. Look up the "
        "reasons of the attempts in docs/protocol.md, see that the device is online and ready (its "
        "health message), mend the cause, and start the rotation again.",
        "still-in-use": "The device was heard with its old certificate after the rotation: it may "
        "have been restored from an image. Nothing was removed. Rotate it again, which also "
        "removes the certificate of which it has no use.",
        "other-not-active": "The new certificate was deactivated or deleted after the rotation, so "
        "the old one was left. If the new one was withdrawn on purpose, see that the device can "
        "still connect, and rotate it again.",
    }.get(
        reason,
        "A step of the workflow failed for good. Look at the detail and at the execution's "
        "history, mend the cause, and start the workflow again (docs/operations.md).",
    )
    _tell(
        cloud,
        f"Rotation of {thing} needs a person",
        thing,
        job_id,
        "REVIEW_NEEDED",
        reason,
        detail,
        advice,
        history=history,
    )


def certificate_shared(cloud: Cloud, thing: str, job_id: str, arn: str, others: str) -> None:
    """The old certificate is used by other things too, and so stays."""
    _tell(
        cloud,
        f"The old certificate of {thing} is shared",
        thing,
        job_id,
        "CERTIFICATE_SHARED",
        "shared",
        f"{arn} is also attached to {others}",
        f"It was detached from {thing} and is still ACTIVE. Rotate the other things as well; the "
        "last one's rotation removes it.",
    )


def device_refused(
    cloud: Cloud, thing: str, certificate_id: str, reason: Reason, detail: str
) -> None:
    """A device that presented a certificate of a registered CA is not let in."""
    cloud.notices.tell(
        f"Device refused: {thing or certificate_id[:16]}"[:_MAX_SUBJECT],
        {
            "thingName": thing,
            "certificateId": certificate_id,
            "status": "REGISTRATION_REFUSED",
            "reason": reason.value,
            "detail": detail,
            "whatToDo": f"{_REFUSED[reason]} It is let in at its next try once the reason is gone. "
            "If it is no device of yours, put its certificate on the deny list, and look at who "
            "can use the CA.",
        },
    )


def certificate_replaced(
    cloud: Cloud, thing: str, certificate_id: str, replaced: Sequence[str]
) -> None:
    """A new certificate of an own CA takes the place of a thing's ACTIVE ones."""
    cloud.notices.tell(
        f"Certificate of {thing} replaced"[:_MAX_SUBJECT],
        {
            "thingName": thing,
            "certificateId": certificate_id,
            "status": "CERTIFICATE_REPLACED",
            "reason": "replaced",
            "detail": f"It replaces {', '.join(replaced)}, INACTIVE from now on",
            "whatToDo": "If the device was provisioned anew, there is nothing to do. If not, "
            "somebody else holds a certificate with its name: deactivate the new one, activate "
            "the old one, and look at who can use the CA.",
        },
    )


#: What may be the matter, and what to do.
_REFUSED = {
    Reason.UNKNOWN_CA: "Its CA is not the one in RegistrationCaId, or not ACTIVE.",
    Reason.NOT_SIGNED: "Its CA did not sign it: this is no certificate of yours.",
    Reason.NOT_VALID: "Give the device a certificate that is valid now, or set its clock.",
    Reason.NO_NAME: "See that your CA puts the thing's name where RegistrationNameAttribute says.",
    Reason.DENIED: "Take it from the deny list if it may come in.",
    Reason.UNKNOWN_THING: "Create the thing if it may come in.",
    Reason.ATTACHED_ELSEWHERE: "Detach the certificate from the other thing, if that is wrong.",
    Reason.THING_IN_USE: "If the device was provisioned anew, deactivate its other certificate.",
}


def _tell(
    cloud: Cloud,
    subject: str,
    thing: str,
    job_id: str,
    status: str,
    reason: str,
    detail: str,
    advice: str,
    **more: str,
) -> None:
    cloud.notices.tell(
        subject[:_MAX_SUBJECT],
        {
            "thingName": thing,
            "jobId": job_id,
            "status": status,
            "reason": reason,
            "detail": detail,
            "whatToDo": advice,
            **more,
        },
    )
