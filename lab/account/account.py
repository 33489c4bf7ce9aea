"""One AWS account in this process: moto's server, its clients, its authorities.

An operator drives it through boto3, as the real one. The MQTT endpoint reads it
through ``registry``, a device has its jobs from ``jobs``, and ``state_machines`` are its Step
Functions. What an account holds is gone when it is closed.
"""

from __future__ import annotations

import datetime
import json
import logging
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, overload

import boto3
from botocore.config import Config
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from moto.core import DEFAULT_ACCOUNT_ID
from moto.moto_api._internal import moto_api_backends
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

from lab.account.authority import (
    AWS_IOT_DEFAULT_SUBJECT,
    Authority,
    common_name,
    csr_pem,
    generate_private_key,
    private_key_pem,
)
from lab.account.auto_registration import AutoRegistration
from lab.account.aws_environment import (
    ACCESS_KEY_ID,
    SECRET_ACCESS_KEY,
    aws_environment,
    only_aws_environment,
)
from lab.account.models import new_session
from lab.account.moto_corrections import corrected_moto
from lab.account.moto_functions import Handler
from lab.account.registry import AccountRegistry
from lab.jobs.service import Jobs
from lab.states.service import StateMachines
from lab.timeline import Timeline

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

REGION = "eu-west-1"

# https://docs.aws.amazon.com/iot/latest/apireference/API_CreateThing.html
_THING_NAME = re.compile(r"[a-zA-Z0-9:_-]{1,128}")


@dataclass(frozen=True)
class DeviceIdentity:
    """A registered device: its thing, and the certificate and key that it connects with."""

    thing_name: str
    certificate_id: str
    certificate_arn: str
    certificate_pem: str
    private_key_pem: str = field(repr=False)


class Account:
    """``with Account(timeline) as account:`` an empty account, closed with all that it holds.

    One at a time in a process, since moto's state is the process's: opening a second one
    raises RuntimeError. While it is open, the process's AWS_ variables lead to it alone.
    """

    region = REGION
    account_id: str = DEFAULT_ACCOUNT_ID

    _open = threading.Lock()

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._closing = ExitStack()
        self._session: boto3.Session | None = None
        self._clients: dict[str, Any] = {}
        self._clients_lock = threading.Lock()
        self.endpoint_url = ""
        # Signs the certificates that AWS IoT issues to devices.
        self.iot_authority = Authority.create_aws_iot()
        # Signs the certificates of the lab's servers: what a device has as rootCA.pem.
        self.server_authority = Authority.create("Amazon Root CA 1", organization="Amazon")
        # Signs device certificates that AWS IoT would not: those with a chosen window.
        self.own_authority = Authority.create("CertKeeper lab device CA")
        self.registry = AccountRegistry(self.account_id, self.region)
        self.auto_registration = AutoRegistration(self.account_id, self.region)
        self._functions: dict[str, Handler] = {}
        # Its notifications go nowhere until ``jobs.publish`` is set.
        self.jobs = Jobs(self.account_id, self.region, timeline=timeline)
        # Their functions are nobody's until ``state_machines.functions`` is set.
        self.state_machines = StateMachines(self.account_id, self.region, timeline=timeline)

    def __enter__(self) -> Account:
        if not Account._open.acquire(blocking=False):
            raise RuntimeError("another Account is open in this process: close it first")
        with ExitStack() as opened:
            opened.callback(Account._open.release)
            opened.enter_context(
                corrected_moto(self.iot_authority, self.jobs, self.state_machines, self._functions)
            )
            endpoint_url = opened.enter_context(_moto_server())
            variables = aws_environment(endpoint_url, self.region)
            opened.enter_context(only_aws_environment(variables))
            _forget_everything()
            opened.callback(_forget_everything)
            opened.callback(self.jobs.clear)
            opened.callback(self.state_machines.clear)
            opened.callback(self._close_clients)
            self._closing = opened.pop_all()
            self.endpoint_url = endpoint_url
        self._timeline.record("account", "opened", endpoint=self.endpoint_url, region=self.region)
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()
        self._timeline.record("account", "closed")

    @overload
    def client(self, service_name: Literal["iot"]) -> IoTClient: ...
    @overload
    def client(self, service_name: str) -> Any: ...
    def client(self, service_name: str) -> Any:
        """The boto3 client of a service in this account, made once and shared by all threads.

        Raises RuntimeError while the account is not open.
        """
        with self._clients_lock:
            if not self.endpoint_url:
                raise RuntimeError("this Account is not open: use it in a with statement")
            if service_name not in self._clients:
                self._session = self._session or boto3.Session(
                    botocore_session=new_session(),
                    aws_access_key_id=ACCESS_KEY_ID,
                    aws_secret_access_key=SECRET_ACCESS_KEY,
                    region_name=self.region,
                )
                self._clients[service_name] = self._session.client(
                    service_name,  # type: ignore[call-overload]  # the stubs list known names only
                    endpoint_url=self.endpoint_url,
                    config=Config(proxies={}),
                )
            return self._clients[service_name]

    def register_device(
        self,
        thing_name: str,
        *,
        policy_document: Mapping[str, Any],
        not_before: datetime.datetime | None = None,
        not_after: datetime.datetime | None = None,
        key_algorithm: str = "ECDSA-P256",
    ) -> DeviceIdentity:
        """Makes a thing with an ACTIVE certificate and a policy, as an operator does.

        The certificate is AWS IoT's (until 2049) unless a window is given, in aware
        datetimes: then it is issued by ``own_authority`` and registered without its CA.
        Raises ValueError, with nothing made, for a bad name, algorithm or window; what AWS
        refuses (a thing registered before, a malformed policy) is botocore's ClientError.
        """
        if not _THING_NAME.fullmatch(thing_name):
            raise ValueError(f"not a thing name: {thing_name!r} (1 to 128 of a-z A-Z 0-9 : _ -)")
        key = generate_private_key(key_algorithm)
        own_pem = None
        if not_before is not None or not_after is not None:
            subject = common_name(thing_name)
            own_pem = self.own_authority.issue_device_certificate(
                key.public_key(), subject, not_before=not_before, not_after=not_after
            )

        iot = self.client("iot")
        policy_name = thing_name.replace(":", ".")  # a policy's name takes no colon
        iot.create_policy(policyName=policy_name, policyDocument=json.dumps(dict(policy_document)))
        iot.create_thing(thingName=thing_name)
        if own_pem is None:
            csr = csr_pem(key, AWS_IOT_DEFAULT_SUBJECT)
            issued = iot.create_certificate_from_csr(
                certificateSigningRequest=csr, setAsActive=True
            )
            pem = issued["certificatePem"]
            arn, certificate_id = issued["certificateArn"], issued["certificateId"]
        else:
            pem = own_pem
            registered = iot.register_certificate_without_ca(certificatePem=pem, status="ACTIVE")
            arn, certificate_id = registered["certificateArn"], registered["certificateId"]
        iot.attach_policy(policyName=policy_name, target=arn)
        iot.attach_thing_principal(thingName=thing_name, principal=arn)
        self._timeline.record(
            "account", "device-registered", thing=thing_name, certificate_id=certificate_id
        )
        return DeviceIdentity(thing_name, certificate_id, arn, pem, private_key_pem(key))

    def certify(
        self, thing_name: str, authority: Authority, *, key_algorithm: str = "ECDSA-P256"
    ) -> DeviceIdentity:
        """A pair from an operator's factory: AWS IoT knows nothing of it, nor of the thing."""
        key = generate_private_key(key_algorithm)
        now = datetime.datetime.now(datetime.UTC)
        pem = authority.issue_device_certificate(
            key.public_key(),
            common_name(thing_name),
            not_before=now - datetime.timedelta(days=1),
            not_after=now + datetime.timedelta(days=365),
        )
        parsed = x509.load_pem_x509_certificate(pem.encode())
        certificate_id = parsed.fingerprint(hashes.SHA256()).hex()
        arn = f"arn:aws:iot:{self.region}:{self.account_id}:cert/{certificate_id}"
        return DeviceIdentity(thing_name, certificate_id, arn, pem, private_key_pem(key))

    def register_ca(self, certificate_pem: str, *, automatic: bool = False) -> str:
        """Registers a CA, ACTIVE, ``automatic`` with auto-registration; its caCertificateId."""
        made = self.client("iot").register_ca_certificate(
            caCertificate=certificate_pem,
            setAsActive=True,
            allowAutoRegistration=automatic,
            certificateMode="SNI_ONLY",
        )
        return str(made["certificateId"])

    def make_function(self, name: str, handler: Handler) -> str:
        """A Lambda function of the account's, beside those of the template; its ARN."""
        arn = f"arn:aws:lambda:{self.region}:{self.account_id}:function:{name}"
        self._functions[arn] = handler
        return arn

    def _close_clients(self) -> None:
        with self._clients_lock:
            self.endpoint_url = ""
            for client in self._clients.values():
                client.close()
            self._clients.clear()


@contextmanager
def _moto_server() -> Iterator[str]:
    """moto's server on a free port of the loopback; yields its URL."""
    requests_log = logging.getLogger("werkzeug")
    level = requests_log.level
    requests_log.setLevel(logging.WARNING)  # a line for each request otherwise
    application = DomainDispatcherApplication(create_backend_app)
    server = make_server(
        "127.0.0.1", 0, application, threaded=True, request_handler=MotoRequestHandler
    )
    # moto.server.ThreadedMotoServer looks twice a second whether it is to stop.
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        requests_log.setLevel(level)


def _forget_everything() -> None:
    """What POST /moto-api/reset does: the state of every service is empty again."""
    moto_api_backends["global"].reset()
