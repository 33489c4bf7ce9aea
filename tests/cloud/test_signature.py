"""An alert's signature is the device's own, by the algorithm of its key, or it is none."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from certkeeper.edge.x509 import sign_detached
from rotation_cloud.signature import is_by
from tests.cloud.monitor import KEYS, pair

CONTENT = b'{"type":"certificate.expiring"}'


def encoded(fields: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize("algorithm", KEYS)
def test_every_key_that_a_device_signs_with(algorithm: str) -> None:
    """What the device's own code signs is taken; of other content, or by another key, it is not."""
    key, pem = pair("own", algorithm)
    signature = sign_detached(CONTENT, key)
    assert is_by(pem, signature, CONTENT)
    assert not is_by(pem, signature, CONTENT + b" ")
    assert not is_by(pair("other", algorithm)[1], signature, CONTENT)


@pytest.mark.parametrize("algorithm", KEYS)
def test_header_says_the_algorithm_and_no_more(algorithm: str) -> None:
    """A header that says more is refused, although the key has signed it."""
    key, pem = pair("own", algorithm)
    assert not is_by(pem, sign_detached(CONTENT, key, key_id="more"), CONTENT)


ES256 = {"alg": "ES256"}


@pytest.mark.parametrize(
    "header",
    [ES256, {"alg": "ES384"}, {"alg": "none"}, {"alg": None}, {"alg": ["ES256"]}, {}, [], 7, None],
    ids=repr,
)
def test_algorithm_is_the_keys(header: object) -> None:
    """What a P-256 key signs under any other name than ES256 is refused."""
    key, pem = pair()
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    payload = base64.urlsafe_b64encode(CONTENT).rstrip(b"=").decode()
    signed = key.sign(f"{encoded(header)}.{payload}".encode(), ec.ECDSA(hashes.SHA256()))
    numbers = (number.to_bytes(32, "big") for number in decode_dss_signature(signed))
    made = base64.urlsafe_b64encode(b"".join(numbers)).rstrip(b"=").decode()
    assert is_by(pem, f"{encoded(header)}..{made}", CONTENT) == (header == ES256)


@pytest.mark.parametrize(
    "signature",
    [
        *("", ".", "..", "...", "a", "a..b", "e30..", "\xe4..\xe4", "[" * 1000 + "..x"),
        f"{encoded({'alg': 'ES256'})}..",
        f"{encoded({'alg': 'ES256'})}..{'A' * 86}",  # r = s = 0
        f"{encoded({'alg': 'ES256'})}..{'_' * 86}",
        f"{encoded({'alg': 'ES256'})}..{'A' * 85}",
        base64.urlsafe_b64encode(b"[" * 1400).decode() + "..x",
    ],
)
def test_garbage(signature: str) -> None:
    """No text makes it raise anything, or be believed."""
    assert not is_by(pair()[1], signature, CONTENT)


def test_embedded_payload_is_refused() -> None:
    """A signature that brings its own payload says nothing of ours."""
    key, pem = pair()
    header, _, made = sign_detached(CONTENT, key).partition("..")
    own = base64.urlsafe_b64encode(CONTENT).rstrip(b"=").decode()
    assert not is_by(pem, f"{header}.{own}.{made}", CONTENT)


@pytest.mark.parametrize("pem", ["", "garbage", pair()[1][:200]])
def test_certificate_that_cannot_be_read(pem: str) -> None:
    """What the registry holds may be anything: then nothing verifies."""
    assert not is_by(pem, sign_detached(CONTENT, pair()[0]), CONTENT)
