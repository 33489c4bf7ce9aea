"""An operator's own signer: a Lambda function that signs requests for certificates.

docs/signer.md is the contract. What the function gives is looked at before it is registered,
so that a signer that errs is known here, and not by a device that its certificate locks out.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from rotation_cloud.aws_errors import translated
from rotation_cloud.certificates import MALFORMED, is_ca, is_valid
from rotation_cloud.issuers import register
from rotation_cloud.ports import AwsError, Issuance, Order, Refused, Throttled

#: A leaf and its CAs with large keys, generously.
MAX_ANSWER_BYTES = 64 * 1024
MAX_CHAIN = 8
_SHOWN = 200


class SignerIssuer:
    """See ports.Issuer. The function may sign twice for one request: what it signed counts only
    once it is registered, and whoever asked is undone by its public key.

    https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
    """

    def __init__(
        self, iot: Any, lambda_: Any, now: Callable[[], float], *, function_arn: str
    ) -> None:
        """``lambda_`` is a boto3 client that asks once: the device asks again by itself."""
        self._iot = iot
        self._lambda = lambda_
        self._now = now
        self._function_arn = function_arn

    def issue(self, order: Order) -> Issuance:
        chain = _chain(self._asked(order))
        fault = _fault(chain, order.csr, datetime.fromtimestamp(self._now(), UTC))
        if fault is not None:
            raise AwsError(f"the signer's certificate {fault}")
        leaf, ca = (one.public_bytes(Encoding.PEM).decode() for one in chain[:2])
        try:
            return register(self._iot, leaf, ca)
        except Refused as error:  # of the signer's making: the request is not at fault
            raise AwsError(str(error)) from error

    def _asked(self, order: Order) -> dict[str, Any]:
        """The function's answer, a JSON object. Raises AwsError."""
        request = {
            "csr": order.csr,
            "thingName": order.thing,
            "jobId": order.job_id,
            "token": order.token,
        }
        with translated("Invoke"):
            invoked = self._lambda.invoke(
                FunctionName=self._function_arn,
                InvocationType="RequestResponse",
                Payload=json.dumps(request).encode(),
            )
            with closing(invoked["Payload"]) as payload:
                body: bytes = payload.read(MAX_ANSWER_BYTES + 1)
        if len(body) > MAX_ANSWER_BYTES:
            raise AwsError(f"the signer's answer is longer than {MAX_ANSWER_BYTES} bytes")
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            answer = None
        if invoked.get("FunctionError"):
            kind = answer.get("errorType") if isinstance(answer, dict) else None
            raise AwsError(f"the signer failed ({_shown(kind)}): see its log")
        if not isinstance(answer, dict):
            raise AwsError("the signer's answer is no JSON object")
        return answer


def _chain(answer: dict[str, Any]) -> list[x509.Certificate]:
    """The certificates in the answer, leaf first. Raises Refused, Throttled or AwsError."""
    if "refused" in answer:
        raise Refused(f"the signer refused: {_shown(answer['refused'])}")
    if "busy" in answer:
        raise Throttled(f"the signer is busy: {_shown(answer['busy'])}")
    given = answer.get("certificateChain")
    if not isinstance(given, str):
        raise AwsError("the signer's answer has no certificateChain")
    try:
        chain = x509.load_pem_x509_certificates(given.encode())
    except MALFORMED:
        raise AwsError("the signer's certificateChain is not PEM of certificates") from None
    if not 2 <= len(chain) <= MAX_CHAIN:
        raise AwsError(
            f"the signer's certificateChain has {len(chain)} certificates: wanted are the "
            f"device's and its CA's, {MAX_CHAIN} in all at the most"
        )
    return chain


def _fault(chain: list[x509.Certificate], csr: str, now: datetime) -> str | None:
    """What is wrong with the chain, in words that go on from "the certificate"; None: nothing."""
    leaf = chain[0]
    try:
        request = x509.load_pem_x509_csr(csr.encode())
        if leaf.public_key() != request.public_key():
            return "is for another key than was asked for"
        if not _same_name(leaf.subject, request.subject):
            return f"has the subject {_shown(leaf.subject.rfc4514_string())}"
        if is_ca(leaf):
            return "is a CA's"
        for number, one in enumerate(chain):
            if not is_valid(one, now):
                return f"is not valid now (number {number + 1} of the chain)"
        for number, (one, ca) in enumerate(itertools.pairwise(chain), 1):
            if not is_ca(ca):
                return f"is signed by what is no CA (number {number + 1} of the chain)"
            one.verify_directly_issued_by(ca)
    except InvalidSignature:
        return "is not signed by the next one of the chain"
    except MALFORMED as error:
        return f"or a CA of its chain cannot be verified: {_shown(error)}"
    return None


def _same_name(subject: x509.Name, wanted: x509.Name) -> bool:
    """As devices have it: the same subject, or the same common name with other things beside."""
    names = [
        [one.value for one in name.get_attributes_for_oid(NameOID.COMMON_NAME)]
        for name in (subject, wanted)
    ]
    return subject == wanted or (bool(names[0]) and names[0] == names[1])


def _shown(said: object) -> str:
    """What somebody else said, cut to a size and to what can be printed."""
    text = "".join(one if one.isprintable() else " " for one in str(said)[:_SHOWN])
    return text or "no reason given"
