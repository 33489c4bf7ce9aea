"""The records and the documents: the fake and DynamoDB behave alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from lab.account.account import Account
from lab.fleet.account import Documents, Records
from lab.fleet.indexed import IndexedRecords
from lab.timeline import Timeline
from rotation_cloud import aws
from rotation_cloud.documents import Document
from rotation_cloud.ports import AwsError, RecordChanged
from rotation_cloud.ports import Documents as DocumentsPort
from rotation_cloud.ports import Records as RecordsPort
from rotation_cloud.records import Record, State, Which
from rotation_cloud.table import DocumentTable, Table

pytestmark = pytest.mark.xdist_group("cloud-records")

FULL = Record(
    thing="press:7",
    job_id="job-1",
    state=State.RETIRING,
    account_arn="arn:aws:iot:eu-west-1:1",
    execution="2@100",
    public_key="k",
    old="o",
    new="n",
    certificate_pem="pem\n",
    policies=("a", "b"),
    attachment="EXCLUSIVE_THING",
    superseded=("s",),
    unsure=True,
    started=1,
    lease=2,
    retire=Which.NEW,
    ended=4,
    grace_ends=5,
    told=True,
    expires_at=3,
)
BARE = Record("press-8", "job-1", State.ISSUING)


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[Any]:
    with Account(Timeline()):
        aws.forget_clients()
        client = aws.client("dynamodb")
        client.create_table(
            TableName="records",
            AttributeDefinitions=[
                {"AttributeName": "thing", "AttributeType": "S"},
                {"AttributeName": "jobId", "AttributeType": "S"},
            ],
            KeySchema=[
                {"AttributeName": "thing", "KeyType": "HASH"},
                {"AttributeName": "jobId", "KeyType": "RANGE"},
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        yield client
        aws.forget_clients()


@pytest.fixture(params=["fake", "indexed", "dynamodb"])
def records(request: pytest.FixtureRequest) -> RecordsPort:
    if request.param != "dynamodb":
        return Records() if request.param == "fake" else IndexedRecords()
    return Table("records", _emptied(request))


@pytest.fixture(params=["fake", "dynamodb"])
def documents(request: pytest.FixtureRequest) -> DocumentsPort:
    return Documents() if request.param == "fake" else DocumentTable("records", _emptied(request))


def _emptied(request: pytest.FixtureRequest) -> Any:
    client = request.getfixturevalue("dynamodb")
    for item in client.scan(TableName="records")["Items"]:
        key = {name: item[name] for name in ("thing", "jobId")}
        client.delete_item(TableName="records", Key=key)
    return client


def test_every_field_has_a_value_of_its_own() -> None:
    """The full record differs from the bare one in every field but those of the store."""
    same = {f.name for f in fields(Record) if getattr(FULL, f.name) == getattr(BARE, f.name)}
    assert same == {"job_id", "version", "writer"}


@pytest.mark.parametrize("record", [FULL, BARE], ids=["full", "bare"])
def test_what_was_written_is_read(records: RecordsPort, record: Record) -> None:
    """A record comes back as it was written, its version counted."""
    written = records.write(record)
    assert written == replace(record, version=1, writer=written.writer)
    assert records.get(record.thing, record.job_id) == written
    assert records.write(written).version == 2
    assert records.get(record.thing, "job-2") is None


def test_records_of_a_thing(records: RecordsPort) -> None:
    """All records of one thing are found, and no other's."""
    for record in (FULL, replace(FULL, job_id="job-2"), BARE):
        records.write(record)
    assert {r.job_id for r in records.of_thing(FULL.thing)} == {"job-1", "job-2"}
    assert records.of_thing("press") == []


def test_records_of_all_things(records: RecordsPort) -> None:
    """Every record of every thing is found."""
    written = [records.write(one) for one in (FULL, replace(FULL, job_id="job-2"), BARE)]
    found = sorted(records.all(), key=lambda one: (one.thing, one.job_id))
    assert found == sorted(written, key=lambda one: (one.thing, one.job_id))


def test_second_writer_is_refused(records: RecordsPort) -> None:
    """Of two that read the same version, one writes."""
    with pytest.raises(RecordChanged):
        records.write(replace(FULL, version=1))
    first = records.write(FULL)
    with pytest.raises(RecordChanged):
        records.write(replace(FULL, told=False))
    records.write(replace(first, lease=9))
    with pytest.raises(RecordChanged):
        records.write(replace(first, lease=8))
    known = records.get(FULL.thing, FULL.job_id)
    assert known is not None
    assert known.lease == 9


DOCUMENT = Document(
    "press:7",
    "#inventory",
    {"days": -3, "ok": True, "names": ["a", {"b": "c"}], "none": None, "empty": ""},
    expires_at=7,
)


def test_a_document_is_read_as_it_was_written(documents: DocumentsPort) -> None:
    """With all that JSON may hold but fractions, and of two writers one wins."""
    written = documents.write(DOCUMENT)
    assert written == replace(DOCUMENT, version=1, writer=written.writer)
    assert documents.get("press:7", "#inventory") == written
    assert documents.get("press:7", "#other") is None
    with pytest.raises(RecordChanged):
        documents.write(replace(DOCUMENT, body={}))
    again = documents.write(replace(written, body={}, expires_at=0))
    assert documents.get("press:7", "#inventory") == again


def test_documents_of_all_things(documents: DocumentsPort) -> None:
    """Those whose name begins so, and no record."""
    for thing, name in (("a", "#x#1"), ("b", "#x#2"), ("b", "#y")):
        documents.write(Document(thing, name))
    assert {(d.thing, d.name) for d in documents.all("#x#")} == {("a", "#x#1"), ("b", "#x#2")}


def test_documents_and_records_never_meet(dynamodb: Any) -> None:
    """A thing's records are its jobs', whatever else the table has of it."""
    DocumentTable("records", dynamodb).write(Document("press-11", "#inventory"))
    table = Table("records", dynamodb)
    assert table.of_thing("press-11") == []
    assert "press-11" not in {record.thing for record in table.all()}


def test_expiry_is_left_out_while_there_is_none(dynamodb: Any) -> None:
    """DynamoDB would drop an item whose time to live is 0."""
    Table("records", dynamodb).write(replace(BARE, thing="press-9"))
    key = {"thing": {"S": "press-9"}, "jobId": {"S": "job-1"}}
    assert "expiresAt" not in dynamodb.get_item(TableName="records", Key=key)["Item"]


class _Losing:
    """A client that does what it is asked, and loses the answer to PutItem."""

    def __init__(self, real: Any, does: bool) -> None:
        self._real = real
        self._does = does

    def get_item(self, **arguments: Any) -> Any:
        return self._real.get_item(**arguments)

    def put_item(self, **arguments: Any) -> Any:
        if self._does:
            self._real.put_item(**arguments)
        raise ReadTimeoutError(endpoint_url="https://dynamodb")


def test_write_whose_answer_was_lost(dynamodb: Any) -> None:
    """A write that was done counts as done; one that was not is an error."""
    record = replace(BARE, thing="press-10")
    with pytest.raises(AwsError):
        Table("records", _Losing(dynamodb, does=False)).write(record)
    assert Table("records", _Losing(dynamodb, does=True)).write(record).version == 1
