"""The AWS calls behind the ports: how long each takes, whether it is let through, how many.

The functions' ports are the account's in memory (account.py). Each of their methods costs
the calls that ``aws.py`` makes for it, which a test holds against the real one; each call
takes its time, is counted against its quota, and, if it is throttled, is made again as
botocore's standard mode does it.
https://docs.aws.amazon.com/boto3/latest/guide/retries.html
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from lab.cloud.quotas import Call, Quotas
from lab.fleet.indexed import IndexedRegistry
from rotation_cloud.ports import AwsError, Throttled

#: Seconds from a call to its answer, as seen from a function in the same Region: estimates.
LATENCY: Mapping[str, float] = {
    "iot": 0.08,
    "iot-jobs-data": 0.03,
    "iot-data": 0.02,
    "dynamodb": 0.006,
    "sns": 0.03,
    "events": 0.02,
    "stepfunctions": 0.03,
}
#: A call to a service that is away: botocore gives up connecting (rotation_cloud/aws.py).
CONNECT_TIMEOUT = 3.0
#: How often a call is made, and, of all calls, the one that may not be made twice.
TRIES, ONCE = 3, ("iot", "CreateCertificateFromCsr")
_BACKOFF_MOST = 20.0

#: The call of each method of a port.
CALLS: Mapping[str, Call] = {
    "registry.principals": ("iot", "ListThingPrincipalsV2"),
    "registry.things": ("iot", "ListPrincipalThings"),
    "registry.policies": ("iot", "ListAttachedPolicies"),
    "registry.is_active": ("iot", "DescribeCertificate"),
    "registry.registered": ("iot", "DescribeCertificate"),
    "registry.attach_policy": ("iot", "AttachPolicy"),
    "registry.detach_policy": ("iot", "DetachPolicy"),
    "registry.attach_thing": ("iot", "AttachThingPrincipal"),
    "registry.detach_thing": ("iot", "DetachThingPrincipal"),
    "registry.deactivate": ("iot", "UpdateCertificate"),
    "registry.delete": ("iot", "DeleteCertificate"),
    "issuer.issue": ("iot", "CreateCertificateFromCsr"),
    "jobs.execution": ("iot-jobs-data", "DescribeJobExecution"),
    "jobs.pending": ("iot-jobs-data", "GetPendingJobExecutions"),
    "jobs.create": ("iot", "CreateJob"),
    "jobs.cancel": ("iot", "CancelJobExecution"),
    "jobs.ending": ("iot", "DescribeJobExecution"),
    "records.get": ("dynamodb", "GetItem"),
    "records.of_thing": ("dynamodb", "Query"),
    "records.write": ("dynamodb", "PutItem"),
    "documents.get": ("dynamodb", "GetItem"),
    "documents.write": ("dynamodb", "PutItem"),
    "documents.all": ("dynamodb", "Scan"),
    "answers.publish": ("iot-data", "Publish"),
    "notices.tell": ("sns", "Publish"),
    "alerts.tell": ("sns", "Publish"),
    "workflows.start": ("stepfunctions", "StartExecution"),
    "workflows.end_task": ("stepfunctions", "SendTaskSuccess"),
    "audit.record": ("events", "PutEvents"),
}
#: ListCertificates gives so many at a time, and so many pages and certificates are looked at
#: for a stray one (rotation_cloud/aws.py).
_PAGE, _PAGES, _LOOKED_AT = 250, 4, 50


class Services:
    """AWS as the functions of one account meet it. ``away`` are services that do not answer."""

    def __init__(self, quotas: Quotas, chance: random.Random) -> None:
        self.quotas = quotas
        self.chance = chance
        self.away: set[str] = set()
        self.count: Counter[Call] = Counter()


class Caller:
    """Whoever calls, and waits for the answers: one invocation of a function."""

    def __init__(self, services: Services, sleep: Callable[[float], None]) -> None:
        """``sleep`` lets time pass, and may raise if the caller's time is over."""
        self._services = services
        self._sleep = sleep

    def port(self, name: str, real: object) -> Any:
        """The port with what its calls cost."""
        return _Port(self, name, real)

    def make(self, call: Call, act: Callable[[], Any]) -> Any:
        """What ``act`` gives, once the call has been let through. Raises AwsError."""
        services, (service, operation) = self._services, call
        tries = 1 if call == ONCE else TRIES
        for attempt in range(1, tries + 1):
            services.count[call] += 1
            if service in services.away:
                self._sleep(CONNECT_TIMEOUT)
                problem: AwsError = AwsError(f"{operation}: ConnectTimeoutError")
                scale = 0.05
            else:
                latency = LATENCY[service] * services.chance.uniform(0.5, 1.5)
                self._sleep(latency / 2)
                if services.quotas.take(service, operation):
                    try:
                        return act()
                    finally:
                        self._sleep(latency / 2)
                self._sleep(latency / 2)
                problem, scale = Throttled(f"{operation}: ThrottlingException"), 1.0
            if attempt < tries:
                most = min(scale * 2 ** (attempt - 1), _BACKOFF_MOST)
                self._sleep(most * services.chance.random())
        raise problem


class _Port:
    def __init__(self, caller: Caller, name: str, real: object) -> None:
        self._caller = caller
        self._name = name
        self._real = real

    def __getattr__(self, method: str) -> Callable[..., Any]:
        real, caller = getattr(self._real, method), self._caller
        if (self._name, method) == ("registry", "stray"):
            return self._stray
        call = CALLS[f"{self._name}.{method}"]

        def made(*arguments: Any) -> Any:
            return caller.make(call, lambda: real(*arguments))

        return made

    def _stray(self, keys: set[str], since: float) -> Any:
        """A search through the newest certificates of the account, one after the other."""
        registry = self._real
        assert isinstance(registry, IndexedRegistry)
        pages = min(_PAGES, 1 + len(registry.certificates) // _PAGE)
        for _ in range(pages):
            self._caller.make(("iot", "ListCertificates"), lambda: None)
        newest = registry.newest(since, _LOOKED_AT)
        for _ in newest:
            self._caller.make(("iot", "DescribeCertificate"), lambda: None)
        strays = [arn for arn in registry.stray(keys, since) if arn in newest]
        for _ in strays:
            self._caller.make(("iot", "ListPrincipalThings"), lambda: None)
        return strays
