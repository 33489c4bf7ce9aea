"""The records in DynamoDB: one item for each thing and job, written only on condition."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

from rotation_cloud.aws_errors import error_code, translated
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


class Table:
    """See ports.Records."""

    def __init__(self, name: str, dynamodb: Any) -> None:
        """``dynamodb`` is boto3's client."""
        self._name = name
        self._dynamodb = dynamodb

    def get(self, thing: str, job_id: str) -> Record | None:
        with translated("GetItem"):
            found = self._dynamodb.get_item(
                TableName=self._name,
                Key={"thing": {"S": thing}, "jobId": {"S": job_id}},
                ConsistentRead=True,
            )
        return _record(found["Item"]) if "Item" in found else None

    def of_thing(self, thing: str) -> Sequence[Record]:
        found: list[Record] = []
        with translated("Query"):
            for page in self._dynamodb.get_paginator("query").paginate(
                TableName=self._name,
                KeyConditionExpression="thing = :thing",
                ExpressionAttributeValues={":thing": {"S": thing}},
                ConsistentRead=True,
            ):
                found.extend(_record(item) for item in page["Items"])
        return found

    def write(self, record: Record) -> Record:
        # Two requests may write the very same at once: each knows its own write again.
        written = replace(record, version=record.version + 1, writer=uuid.uuid4().hex)
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(thing)"}
        if record.version:
            condition = {
                "ConditionExpression": "version = :read",
                "ExpressionAttributeValues": {":read": {"N": str(record.version)}},
            }
        try:
            with translated("PutItem"):
                self._dynamodb.put_item(TableName=self._name, Item=_item(written), **condition)
        except AwsError as error:
            # If an answer was lost, this may be our own write: botocore asks again by itself.
            if self.get(record.thing, record.job_id) == written:
                return written
            if error_code(error) == "ConditionalCheckFailedException":
                raise RecordChanged(f"{record.thing} {record.job_id}") from error
            raise
        return written


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
