"""Tries a pair with AWS IoT over HTTPS, never as the nucleus's MQTT client.

First the credentials provider, which answers 200 only to a certificate that is active,
attached to the thing, and allowed to assume the role; else the Jobs data plane. An answer
that proves refusal is told apart from one that proves nothing: a network that is down
must not fail a rotation, nor keep a bad certificate. What AWS IoT answers to an inactive
certificate is not documented; a connection closed without a word is UNCLEAR, and to be
asked again.

https://docs.aws.amazon.com/iot/latest/developerguide/authorizing-direct-aws.html
https://docs.aws.amazon.com/iot/latest/developerguide/jobs-http-device-api.html
"""

from __future__ import annotations

import http.client
import json
import re
import ssl
from enum import Enum
from pathlib import Path
from urllib.parse import quote

from rotation_protocol.values import dataclass

MAX_ANSWER = 64 * 1024
#: An endpoint may name its port; AWS's do not. The data endpoint speaks HTTPS on 8443.
CREDENTIALS_PORT = 443
DATA_PORT = 8443
#: The alerts that are about our certificate (RFC 5246, section 7.2.2), as OpenSSL names them.
_REFUSALS = (
    *("ALERT_BAD_CERTIFICATE", "ALERT_CERTIFICATE_", "ALERT_UNKNOWN_CA", "ALERT_ACCESS_DENIED"),
    *("ALERT_UNSUPPORTED_CERTIFICATE", "ALERT_DECRYPT_ERROR"),
)
_NOT_PRINTABLE = re.compile(r"[^\x20-\x7e]+")


class Verdict(str, Enum):
    """What trying a pair showed."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNCLEAR = "unclear"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True)
class Target:
    """Whom to ask, for which thing. An endpoint is a host, or ``host:port``; None: not known."""

    thing_name: str
    root_ca: Path
    credential_endpoint: str | None = None
    role_alias: str | None = None
    data_endpoint: str | None = None


@dataclass(frozen=True)
class Probed:
    """The verdict, and in words why; never anything of a credential."""

    verdict: Verdict
    detail: str


def probe(target: Target, certificate: Path, private_key: Path, timeout: float = 10.0) -> Probed:
    """Connect with the pair in these PEM files. Blocks; no single step waits longer than
    ``timeout`` seconds.

    Raises nothing: a pair that cannot be loaded is REFUSED, since nobody will take it.
    """
    try:
        context = _context(target.root_ca, certificate, private_key)
    except _NoTrust as error:
        return Probed(Verdict.UNREACHABLE, str(error))
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        return Probed(Verdict.REFUSED, f"the pair cannot be used: {_reason(error)}")
    said = Probed(Verdict.UNREACHABLE, "the nucleus names no endpoint")
    if target.credential_endpoint and target.role_alias:
        said = _ask_credentials_provider(target, context, timeout)
        if said.verdict in (Verdict.ACCEPTED, Verdict.REFUSED):
            return said
    if target.data_endpoint:
        other = _ask_jobs(target, context, timeout)
        # Of two answers that prove nothing, the one that got further says more.
        if other.verdict is not Verdict.UNREACHABLE or said.verdict is Verdict.UNREACHABLE:
            said = other
    return said


class _NoTrust(Exception):
    """The root CAs cannot be loaded, so no server can be believed."""


def _context(root_ca: Path, certificate: Path, private_key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # In TLS 1.3 the client is done before the server has looked at its certificate, and a
    # refusal may be lost behind the request that is sent meanwhile (RFC 8446, section 2).
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(root_ca)
    except OSError as error:
        raise _NoTrust(f"{root_ca}: {_reason(error)}") from None
    # A passphrase is never asked for: that would wait at a terminal that nobody sees.
    context.load_cert_chain(certificate, private_key, password=_no_passphrase)
    return context


def _no_passphrase() -> str:
    raise ValueError("the private key is encrypted with a passphrase")


def _ask_credentials_provider(target: Target, context: ssl.SSLContext, timeout: float) -> Probed:
    path = f"/role-aliases/{quote(target.role_alias or '', safe='')}/credentials"
    headers = {"x-amzn-iot-thingname": target.thing_name}
    answer = _get(
        target.credential_endpoint or "", CREDENTIALS_PORT, path, headers, context, timeout
    )
    if isinstance(answer, Probed):
        return answer
    status, words = answer
    if status == 200:
        return Probed(Verdict.ACCEPTED, "the credentials provider gives credentials")
    detail = f"the credentials provider answers {status} {words}".strip()
    # 400 and 404 speak of the role alias, 5xx of AWS: of the certificate they say nothing.
    return Probed(Verdict.REFUSED if status == 403 else Verdict.UNCLEAR, detail)


def _ask_jobs(target: Target, context: ssl.SSLContext, timeout: float) -> Probed:
    path = f"/things/{quote(target.thing_name, safe='')}/jobs"
    answer = _get(target.data_endpoint or "", DATA_PORT, path, {}, context, timeout)
    if isinstance(answer, Probed):
        return answer
    status, words = answer
    if status == 200:
        return Probed(Verdict.ACCEPTED, "the data endpoint lists the thing's jobs")
    # A policy may well not allow this call: 403 is then the answer to the best certificate.
    return Probed(Verdict.UNCLEAR, f"the data endpoint answers {status} {words}".strip())


def _get(
    endpoint: str,
    default_port: int,
    path: str,
    headers: dict[str, str],
    context: ssl.SSLContext,
    timeout: float,
) -> Probed | tuple[int, str]:
    """Status and words of the answer, or what its absence shows."""
    host, _, port = endpoint.partition(":")
    try:
        connection = http.client.HTTPSConnection(
            host, int(port or default_port), timeout=timeout, context=context
        )
    except (http.client.HTTPException, ValueError):
        return Probed(Verdict.UNREACHABLE, f"{endpoint!r} is no endpoint")
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        body = response.read(MAX_ANSWER)
    except ssl.SSLCertVerificationError as error:
        return Probed(Verdict.UNREACHABLE, f"{host} is not who it should be: {_reason(error)}")
    except (
        ssl.SSLEOFError,
        ssl.SSLZeroReturnError,
        ConnectionError,
        http.client.HTTPException,
    ) as e:
        if isinstance(e, ConnectionRefusedError):
            return Probed(Verdict.UNREACHABLE, f"{host}: {_reason(e)}")
        return Probed(Verdict.UNCLEAR, f"{host} closed the connection ({type(e).__name__})")
    except ssl.SSLError as error:
        if any(name in (error.reason or "") for name in _REFUSALS):
            return Probed(Verdict.REFUSED, f"{host} refuses the certificate: {_reason(error)}")
        return Probed(Verdict.UNCLEAR, f"{host}: {_reason(error)}")
    except (OSError, ValueError) as error:
        return Probed(Verdict.UNREACHABLE, f"{host}: {_reason(error)}")
    finally:
        connection.close()
    return response.status, "" if response.status == 200 else _words(body)


def _words(body: bytes) -> str:
    """The message of an error answer. A good answer's body, with credentials, never gets here."""
    try:
        message = json.loads(body).get("message", "")
    except (ValueError, AttributeError, RecursionError):
        return ""
    return _NOT_PRINTABLE.sub(" ", str(message))[:120]


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    said = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
    return _NOT_PRINTABLE.sub(" ", str(said))[:120] or type(error).__name__
