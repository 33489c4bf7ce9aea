"""The messages of a rotation: their form on the wire, their limits, and what is refused."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotation_protocol import rotation, topics
from rotation_protocol.fields import MAX_MESSAGE_BYTES, WireError
from rotation_protocol.reasons import RejectionCode
from rotation_protocol.rotation import (
    CommitRequest,
    Committed,
    CreateRequest,
    Issued,
    Rejected,
)

DECODERS: list[Callable[[bytes], object]] = [
    rotation.decode_create,
    rotation.decode_commit,
    rotation.decode_issued,
    rotation.decode_committed,
    rotation.decode_rejected,
]


def test_requests_are_the_peers() -> None:
    """A request has the peer's fields, no more, on the peer's topics with its prefix."""
    create = rotation.encode_create(CreateRequest("job-1", "-----BEGIN"))
    assert json.loads(create) == {"jobId": "job-1", "csr": "-----BEGIN"}
    assert json.loads(rotation.encode_commit(CommitRequest("job-1"))) == {"jobId": "job-1"}
    assert topics.rotation(topics.PEER_PREFIX, "press-7", topics.CREATE) == (
        "awslabs/things/press-7/certificate/create"
    )


def test_answers_of_the_peers_backend_are_understood() -> None:
    """Its answers name no job and no code."""
    assert rotation.decode_issued(b'{"certificatePem":"PEM"}') == Issued("PEM")
    assert rotation.decode_committed(b"{}") == Committed()
    assert rotation.decode_rejected(b'{"errorMsg":"no"}') == Rejected("no")


@pytest.mark.parametrize("job_id", [None, "job-1"])
def test_answers_survive_the_wire(job_id: str | None) -> None:
    """What is encoded is decoded to the same value."""
    issued, committed = Issued("PEM", job_id), Committed(job_id)
    rejected = Rejected("no", RejectionCode.BUSY, job_id)
    assert rotation.decode_issued(rotation.encode_issued(issued)) == issued
    assert rotation.decode_committed(rotation.encode_committed(committed)) == committed
    assert rotation.decode_rejected(rotation.encode_rejected(rejected)) == rejected


def test_requests_survive_the_wire() -> None:
    """What is encoded is decoded to the same value."""
    create, commit = CreateRequest("job-1", "x" * rotation.MAX_CSR), CommitRequest("job-1")
    assert rotation.decode_create(rotation.encode_create(create)) == create
    assert rotation.decode_commit(rotation.encode_commit(commit)) == commit


@pytest.mark.parametrize("size", [0, rotation.MAX_CSR + 1])
def test_size_of_a_csr(size: int) -> None:
    """AWS IoT takes 1 to 4096 characters: others are neither sent nor passed on."""
    with pytest.raises(WireError, match="csr has"):
        rotation.encode_create(CreateRequest("job-1", "x" * size))
    with pytest.raises(WireError, match="csr has"):
        rotation.decode_create(json.dumps({"jobId": "job-1", "csr": "x" * size}).encode())


def test_answer_that_lite_never_receives_is_not_sent() -> None:
    """A chain that is too long for nucleus lite is an error of the cloud, not a silence."""
    assert rotation.encode_issued(Issued("x" * 4600, "j"))
    with pytest.raises(WireError, match="more than nucleus lite receives"):
        rotation.encode_issued(Issued("x" * 4700, "j"))


@pytest.mark.parametrize("size", [rotation.MAX_ANSWER_BYTES + 1, 1024 * 1024])
def test_large_answers_are_refused_unread(size: int) -> None:
    """A certificate of 1 MB is no certificate."""
    payload = json.dumps({"certificatePem": "x" * size, "errorMsg": "x"}).encode()
    for decode in (rotation.decode_issued, rotation.decode_committed, rotation.decode_rejected):
        with pytest.raises(WireError, match="larger than 5000 bytes"):
            decode(payload)


@pytest.mark.parametrize("job_id", ["", "a/b", "a#", "+", "x" * 65, "ü", "a\n"])
def test_job_ids_are_the_apis(job_id: str) -> None:
    """A job's id becomes a level of a topic: what no job can be called is refused."""
    payload = json.dumps({"jobId": job_id, "csr": "x"}).encode()
    for decode in (rotation.decode_create, rotation.decode_commit):
        with pytest.raises(WireError, match="jobId is not a job's id"):
            decode(payload)


@pytest.mark.parametrize(
    ("decode", "fields", "named"),
    [
        (rotation.decode_create, {"csr": "x"}, "jobId is missing"),
        (rotation.decode_create, {"jobId": "j"}, "csr is missing"),
        (rotation.decode_create, {"jobId": 7, "csr": "x"}, "jobId is not a str"),
        (rotation.decode_commit, {}, "jobId is missing"),
        (rotation.decode_issued, {}, "certificatePem is missing"),
        (rotation.decode_issued, {"certificatePem": 7}, "certificatePem is not a str"),
        (rotation.decode_committed, {"jobId": []}, "jobId is not a str"),
        (rotation.decode_rejected, {}, "errorMsg is missing"),
    ],
)
def test_missing_and_ill_typed_fields_are_named(
    decode: Callable[[bytes], object], fields: dict[str, Any], named: str
) -> None:
    """The error says which field, and what is wrong with it."""
    with pytest.raises(WireError, match=named):
        decode(json.dumps(fields).encode())


def test_code_of_a_later_version_counts_as_none() -> None:
    """An unknown code is no reason to drop the answer."""
    payload = b'{"errorCode":"of-tomorrow","errorMsg":"no","else":1}'
    assert rotation.decode_rejected(payload) == Rejected("no")


def test_which_rejections_may_be_asked_again() -> None:
    """Only what time can change."""
    again = {code for code in RejectionCode if code.may_be_asked_again}
    assert again == {RejectionCode.BUSY, RejectionCode.THROTTLED, RejectionCode.INTERNAL}


def test_long_messages_are_shortened() -> None:
    """An error text never makes an answer too large."""
    answer = rotation.decode_rejected(rotation.encode_rejected(Rejected("x" * 10000)))
    assert answer.message == "x" * rotation.MAX_ERROR_CHARACTERS


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.text(), st.lists).map(repr).map(str.encode)
)
@pytest.mark.parametrize("decode", DECODERS)
def test_garbage_is_a_wire_error(decode: Callable[[bytes], object], payload: bytes) -> None:
    """Whatever arrives is understood or refused; nothing else is raised."""
    assert len(payload) <= MAX_MESSAGE_BYTES
    with contextlib.suppress(WireError):
        decode(payload)
