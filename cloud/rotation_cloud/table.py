"""The table in DynamoDB: an item for each record and each document, written only on condition.

The sort key of a record is its job's id, that of a document its name.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from decimal import Decimal
from typing import Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

from rotation_cloud.aws_errors import error_code, translated
from rotation_cloud.documents import Document
from rotation_cloud.ports import AwsError, RecordChanged
from rotation_cloud.records import Record, State, Which

_ATTRIBUTES = {
    "job_id": "jobId",
    "account_arn": "accountArn",
    "public_key": "publicKey",
    "old": "oldCertificateId",
    "new": "newCertificateId",
    "certificate_pem": "certificatePem",
    "expires_at": "expiresAt",  # the table's time to live
}
_to_dynamodb, _from_dynamodb = TypeSerializer(), TypeDeserializer()


class _Items:
    """Items by their key, and the write that takes place only where nobody wrote in between."""

    def __init__(self, name: str, dynamodb: Any) -> None:
        """``dynamodb`` is boto3's client."""
        self._name = name
        self._dynamodb = dynamodb

    def _read(self, thing: str, key: str) -> dict[str, Any] | None:
        with translated("GetItem"):
            found = self._dynamodb.get_item(
                TableName=self._name,
                Key={"thing": {"S": thing}, "jobId": {"S": key}},
                ConsistentRead=True,
            )
        item: dict[str, Any] | None = found.get("Item")
        return item

    def _replace(self, item: dict[str, Any], read: int) -> None:
        """Writes the item, whose version was ``read``. Raises RecordChanged."""
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(thing)"}
        if read:
            condition = {
                "ConditionExpression": "version = :read",
                "ExpressionAttributeValues": {":read": {"N": str(read)}},
            }
        try:
            with translated("PutItem"):
                self._dynamodb.put_item(TableName=self._name, Item=item, **condition)
        except AwsError as error:
            thing, key = item["thing"]["S"], item["jobId"]["S"]
            # If an answer was lost, this may be our own write: botocore asks again by itself.
            if self._read(thing, key) == item:
                return
            if error_code(error) == "ConditionalCheckFailedException":
                raise RecordChanged(f"{thing} {key}") from error
            raise

    def _scan(self, condition: str, prefix: str) -> Iterator[Mapping[str, Any]]:
        """Every item whose key fulfils the condition on ``:prefix``."""
        pages = iter(
            self._dynamodb.get_paginator("scan").paginate(
                TableName=self._name,
                FilterExpression=condition,
                ExpressionAttributeValues={":prefix": {"S": prefix}},
            )
        )
        while True:
            with translated("Scan"):
                page = next(pages, None)
            if page is None:
                return
            yield from page["Items"]


class Table(_Items):
    """See ports.Records."""

    def get(self, thing: str, job_id: str) -> Record | None:
        item = self._read(thing, job_id)
        return None if item is None else _record(item)

    def of_thing(self, thing: str) -> Sequence[Record]:
        found: list[Record] = []
        with translated("Query"):
            for page in self._dynamodb.get_paginator("query").paginate(
                TableName=self._name,
                KeyConditionExpression="thing = :thing",
                ExpressionAttributeValues={":thing": {"S": thing}},
                ConsistentRead=True,
            ):
                items = (one for one in page["Items"] if not one["jobId"]["S"].startswith("#"))
                found.extend(_record(item) for item in items)
        return found

    def all(self) -> Iterator[Record]:
        return (_record(item) for item in self._scan("NOT begins_with(jobId, :prefix)", "#"))

    def write(self, record: Record) -> Record:
        written = replace(record, version=record.version + 1, writer=_anybody())
        self._replace(_item(written), record.version)
        return written


class DocumentTable(_Items):
    """See ports.Documents."""

    def get(self, thing: str, name: str) -> Document | None:
        item = self._read(thing, name)
        return None if item is None else _document(item)

    def write(self, document: Document) -> Document:
        written = replace(document, version=document.version + 1, writer=_anybody())
        item = {
            "thing": {"S": written.thing},
            "jobId": {"S": written.name},
            "version": {"N": str(written.version)},
            "writer": {"S": written.writer},
            "body": _to_dynamodb.serialize(dict(written.body)),
        }
        if written.expires_at:
            item["expiresAt"] = {"N": str(written.expires_at)}
        self._replace(item, document.version)
        return written

    def all(self, prefix: str) -> Iterator[Document]:
        return (_document(item) for item in self._scan("begins_with(jobId, :prefix)", prefix))


def _anybody() -> str:
    """A name for one write: two may write the very same at once, and each knows its own again."""
    return uuid.uuid4().hex


def _document(item: Mapping[str, Any]) -> Document:
    return Document(
        thing=item["thing"]["S"],
        name=item["jobId"]["S"],
        # What an operator wrote by hand may be no more than its key.
        body=_plain(_from_dynamodb.deserialize(item["body"])) if "body" in item else {},
        expires_at=int(item.get("expiresAt", {}).get("N", 0)),
        version=int(item.get("version", {}).get("N", 0)),
        writer=item.get("writer", {}).get("S", ""),
    )


def _plain(value: Any) -> Any:
    """boto3 gives every number as a Decimal."""
    if isinstance(value, Decimal):
        return int(value)
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value


def _item(record: Record) -> dict[str, Any]:
    """A record as DynamoDB has it; what is empty is left out."""
    item: dict[str, Any] = {}
    for name, value in asdict(record).items():
        attribute = _ATTRIBUTES.get(name, name)
        if isinstance(value, bool):
            item[attribute] = {"BOOL": value}
        elif isinstance(value, int):
            item[attribute] = {"N": str(value)}
        elif isinstance(value, tuple):
            item[attribute] = {"L": [{"S": one} for one in value]}
        elif value:
            item[attribute] = {"S": str(value)}
    if not record.expires_at:
        del item["expiresAt"]
    return item


def _record(item: Mapping[str, Any]) -> Record:
    values: dict[str, Any] = {}
    for field in fields(Record):
        given = item.get(_ATTRIBUTES.get(field.name, field.name))
        if given is None:
            continue
        ((kind, value),) = given.items()
        if kind == "N":
            value = int(value)
        elif kind == "L":
            value = tuple(one["S"] for one in value)
        values[field.name] = value
    values["state"] = State(values["state"])
    if "retire" in values:
        values["retire"] = Which(values["retire"])
    return Record(**values)
