"""What an account may ask of AWS in a second, and who is told to come back later.

The quotas are the defaults of an account that never asked for more. Each has a bucket of
tokens: as many as it has a second, full at the beginning, a token for each call that is let
through. AWS does not say how its buckets are made; that a quiet second may be made up for, and
no more than one, is taken for granted here.

The numbers were looked up in November 2026:

- AWS IoT: the defaults of Service Quotas, codes ``iotcore`` and ``iot``
  (ListAWSDefaultServiceQuotas, as exported in gruntwork-io/terraform-aws-utilities,
  docs/quotas.md, commit 04f5883, for those that an account may have raised). The page is
  https://docs.aws.amazon.com/general/latest/gr/iot-core.html
- Of ListThingPrincipalsV2 the value was not to be had: it is taken to be ListThingPrincipals'.
- DynamoDB: what a new on-demand table sustains
  (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html)
- SNS, EventBridge: Europe (Ireland), the lab's Region
  (https://docs.aws.amazon.com/general/latest/gr/sns.html,
  https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html).
- Step Functions: https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html,
  which gives a bucket and a refill.
- Lambda: executions at a time, not calls: see LAMBDA_CONCURRENCY.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

#: Executions at a time of all functions of an account (Service Quotas, L-B99A9384).
LAMBDA_CONCURRENCY = 1000
THROTTLED = "ThrottlingException"

#: A call: the service as boto3 names it, and the operation.
Call = tuple[str, str]


@dataclass(frozen=True)
class Quota:
    """Calls a second, of these operations together. ``bucket`` is how many may come at once,
    where that is another number."""

    service: str
    operations: tuple[str, ...]
    per_second: float
    bucket: float = 0.0

    @property
    def size(self) -> float:
        """Tokens of a full bucket: one at least."""
        return max(self.bucket or self.per_second, 1.0)


def _each(service: str, per_second: float, *operations: str) -> tuple[Quota, ...]:
    return tuple(Quota(service, (operation,), per_second) for operation in operations)


PUBLISHED: tuple[Quota, ...] = (
    *_each("iot", 10, "UpdateCertificate", "DeleteCertificate", "DescribeCertificate"),
    *_each("iot", 10, "RegisterCertificate", "RegisterCertificateWithoutCA", "ListCertificates"),
    *_each("iot", 10, "ListPrincipalThings", "ListThings", "DescribeCACertificate"),
    *_each("iot", 15, "CreateCertificateFromCsr"),
    *_each("iot", 15, "AttachPolicy", "DetachPolicy", "ListAttachedPolicies"),
    *_each("iot", 20, "ListThingPrincipals", "ListThingPrincipalsV2"),
    *_each("iot", 100, "AttachThingPrincipal", "DetachThingPrincipal"),
    *_each("iot", 350, "DescribeThing"),
    *_each("iot", 10, "CreateJob", "DescribeJob", "CancelJob", "DeleteJob", "ListJobs"),
    *_each("iot", 10, "DescribeJobExecution", "CancelJobExecution", "DeleteJobExecution"),
    *_each("iot", 10, "ListJobExecutionsForJob", "ListJobExecutionsForThing"),
    *_each("iot", 10, "DescribeEventConfigurations", "UpdateEventConfigurations"),
    # Of devices, over MQTT and HTTPS, and of our functions together.
    Quota("iot-jobs-data", ("DescribeJobExecution", "GetPendingJobExecutions"), 200),
    Quota("iot-jobs-data", ("StartNextPendingJobExecution", "UpdateJobExecution"), 200),
    *_each("iot-data", 20_000, "Publish"),
    *_each("iot-data", 500, "Connect"),
    *_each("iot-data", 100, "AssumeRoleWithCertificate"),
    *_each("dynamodb", 12_000, "GetItem", "Query", "Scan"),
    *_each("dynamodb", 4_000, "PutItem"),
    *_each("sns", 9_000, "Publish"),
    *_each("events", 10_000, "PutEvents"),
    Quota("stepfunctions", ("StartExecution",), 300, 1300),
    *_each("stepfunctions", 200, "SendTaskSuccess"),
    *_each("acm-pca", 25, "IssueCertificate"),
    *_each("acm-pca", 75, "GetCertificate"),
)


class _Bucket:
    def __init__(self, quota: Quota, now: float) -> None:
        self._quota = quota
        self._tokens = quota.size
        self._at = now

    def take(self, now: float) -> bool:
        refilled = self._tokens + (now - self._at) * self._quota.per_second
        self._tokens, self._at = min(refilled, self._quota.size), now
        # A hair less than a whole token is one: fractions of seconds do not add up exactly.
        if self._tokens < 1.0 - 1e-9:
            return False
        self._tokens -= 1.0
        return True


class Quotas:
    """The buckets of one account. Thread-safe.

    ``backend.aws_fault = Quotas().fault`` switches them on for the functions of a lab. There
    each call has one try, where botocore would make some more.
    """

    def __init__(
        self,
        quotas: tuple[Quota, ...] = PUBLISHED,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``clock`` gives seconds. What ``quotas`` does not name is let through."""
        self._clock = clock
        self._lock = threading.Lock()
        self._throttled: Counter[Call] = Counter()
        now = clock()
        self._buckets: dict[Call, _Bucket] = {}
        for quota in quotas:
            bucket = _Bucket(quota, now)
            for operation in quota.operations:
                self._buckets[quota.service, operation] = bucket

    def take(self, service: str, operation: str) -> bool:
        """Whether a call is let through now; if not, nothing is taken."""
        bucket = self._buckets.get((service, operation))
        if bucket is None:
            return True
        with self._lock:
            if bucket.take(self._clock()):
                return True
            self._throttled[service, operation] += 1
            return False

    def fault(self, service: str, operation: str, _parameters: Mapping[str, Any]) -> str | None:
        """As lab/cloud/aws_calls.py asks: the error's code, or None."""
        return None if self.take(service, operation) else THROTTLED

    @property
    def throttled(self) -> Counter[Call]:
        """How often each call was not let through so far; a copy."""
        with self._lock:
            return Counter(self._throttled)
