"""What a scenario is played on: the lab, the backend, one device, an operator, and a judge.

The judge looks from outside: at the account's registry and jobs, at the connection that AWS
IoT Core sees, at the files that a nucleus reads, at what was published to people.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from certkeeper.edge.x509 import key_algorithm
from lab.account.account import DeviceIdentity
from lab.cloud.backend import Backend
from lab.iot_core.message import Message
from lab.lab import Lab
from lab.nucleus.core_device import CoreDevice
from lab.scenarios.scenario import require
from lab.scenarios.workflows import Workflows
from lab.timeline import Entry
from rotation_cloud import inventory
from rotation_cloud.documents import INVENTORY
from rotation_cloud.table import DocumentTable
from rotation_protocol.jobs import ROTATE

THING = "press-7"
#: Short, so that what has to wait for them is soon over.
CONFIGURATION = {"commitTimeoutSeconds": 30, "deadManSeconds": 60}
TERMINAL = ("succeeded", "failed", "rejected", "canceled", "removed", "timed-out")


class Stage:
    """One device in one account. ``old`` is the identity that it was born with."""

    def __init__(self, lab: Lab, backend: Backend, device: CoreDevice, old: DeviceIdentity) -> None:
        self.lab = lab
        self.backend = backend
        self.device = device
        self.old = old
        self.timeline = lab.timeline
        self._iot = lab.account.client("iot")
        self.workflows = Workflows(lab, backend.workflow_arn)
        self._jobs: list[str] = []
        self._events: dict[str, Message] = {}
        lab.iot_core.observe("$aws/events/jobExecution/#", self._remember)

    def _remember(self, message: Message) -> None:
        self._events[message.topic.split("/")[3]] = message

    def take_for_old(self) -> None:
        """What the device holds now is what a later verdict compares with."""
        self.old = replace(self.old, certificate_id=self.certificate_on_disk())

    # -- the operator ------------------------------------------------------------------

    def create_job(self, operation: str = ROTATE) -> str:
        """Make a job for the device, a rotation's from the template; its id."""
        job_id = f"{operation.lower().replace('_', '-')}-{len(self._jobs) + 1}"
        thing_arn = f"arn:aws:iot:{self.lab.account.region}:{self.lab.account.account_id}:thing"
        self._jobs.append(job_id)
        targets = [f"{thing_arn}/{self.device.thing_name}"]
        if operation == ROTATE:
            template = self.backend.job_template_arn
            self._iot.create_job(jobId=job_id, targets=targets, jobTemplateArn=template)
        else:
            document = json.dumps({"operation": operation})
            self._iot.create_job(jobId=job_id, targets=targets, document=document)
        return job_id

    def cancel_execution(self, job_id: str) -> None:
        """Cancel the device's execution, also one in progress."""
        self._iot.cancel_job_execution(jobId=job_id, thingName=self.device.thing_name, force=True)

    def delete_job(self, job_id: str) -> None:
        """Delete the job, whatever its state."""
        self._iot.delete_job(jobId=job_id, force=True)

    def deactivate(self, certificate_id: str) -> None:
        """Switch a certificate off; who is connected with it is dropped."""
        self._iot.update_certificate(certificateId=certificate_id, newStatus="INACTIVE")
        self.lab.iot_core.enforce_registry()

    def activate(self, certificate_id: str) -> None:
        """Switch a certificate on again."""
        self._iot.update_certificate(certificateId=certificate_id, newStatus="ACTIVE")

    def time_out(self, minutes: int = 61) -> None:
        """Let so much time pass for the Jobs service, and for nobody else."""
        before = self.lab.jobs.clock
        self.lab.jobs.clock = lambda: before() + minutes * 60
        self.lab.jobs.expire()

    def pass_grace(self) -> None:
        """Let the grace period pass in the cloud, and what waits for its end happen."""
        self.backend.idle()
        self.lab.pass_time(self.backend.grace_seconds + 60)
        self.backend.idle()

    def rotate(self, timeout: float = 60.0) -> str:
        """A job, and its success; the job's id."""
        job_id = self.create_job()
        self.wait_for_end(job_id, "succeeded", timeout)
        return job_id

    def redrive(self, job_id: str) -> None:
        """Deliver the event of the job's end once more, as from the dead-letter queue."""
        self.timeline.poll(lambda: job_id in self._events, f"the event of {job_id}")
        event = self._events[job_id]
        self.lab.iot_core.publish(event.topic, event.payload)
        self.backend.idle()

    # -- waiting ---------------------------------------------------------------------------

    def start(self) -> None:
        """Start the device, and wait until it hears of jobs."""
        mark = self.timeline.mark()
        self.device.start()
        self.wait_until_listening(mark)

    def wait_until_listening(self, after: int = 0) -> None:
        """Until the component asks for the next job."""
        self.timeline.wait_for(
            "published",
            source="iot-core",
            after=after,
            timeout=90,  # a nucleus that was refused waits ever longer
            topic=f"$aws/things/{self.device.thing_name}/jobs/$next/get",
        )

    def wait_for_phase(self, phase: str, after: int = 0, timeout: float = 60.0) -> Entry:
        """Until the component says that it is in that phase of a rotation."""
        return self._line(f"rotating phase={phase} ", after, timeout)

    def wait_for_line(self, start: str, after: int = 0, timeout: float = 60.0) -> Entry:
        """Until the component logs a line that begins so."""
        return self._line(start, after, timeout)

    def lines(self, start: str) -> list[Entry]:
        """The lines that the component has logged so far, and that begin so."""
        return [entry for entry in self.timeline.entries if _says(entry, start)]

    def _line(self, start: str, after: int, timeout: float) -> Entry:
        return self.timeline.wait_until(
            lambda entry: _says(entry, start), f"component: {start}", after=after, timeout=timeout
        )

    def wait_for_end(self, job_id: str, status: str, timeout: float = 60.0) -> Entry:
        """Until the execution has ended so."""
        ended = self.timeline.wait_until(
            lambda entry: (
                entry.source == "jobs"
                and entry.details.get("job") == job_id
                and entry.event in TERMINAL
            ),
            f"the end of {job_id}",
            timeout=timeout,
        )
        require(ended.event == status, f"{job_id} {ended.event}: {ended.details}")
        return ended

    def wait_for_idle(self, timeout: float = 60.0) -> None:
        """Until no rotation is under way on the device, and the backend has nothing to do."""
        self.timeline.poll(
            lambda: self._journal_phase() in (None, "idle"), "an idle rotation", timeout
        )
        self.backend.idle(timeout)

    def _journal_phase(self) -> str | None:
        try:
            text = (self.store / "journal.json").read_text()
        except FileNotFoundError:
            return None
        try:
            phase = json.loads(text)["phase"]
        except (ValueError, KeyError, TypeError):
            return "unreadable"
        return str(phase)

    # -- looking ----------------------------------------------------------------------------

    @property
    def store(self) -> Path:
        """The folder of the device's store."""
        return self.device.layout.private_key_path.parent / "certkeeper"

    def certificate_on_disk(self) -> str:
        """The id of the certificate that a nucleus finds, whose key lies beside it.

        Raises VerdictFailed for a pair that does not match.
        """
        layout = self.device.layout
        certificate = x509.load_pem_x509_certificate(layout.certificate_path.read_bytes())
        key = serialization.load_pem_private_key(layout.private_key_path.read_bytes(), None)
        kind = (
            serialization.Encoding.DER,
            serialization.PublicFormat.SubjectPublicKeyInfo,
        )
        require(
            certificate.public_key().public_bytes(*kind) == key.public_key().public_bytes(*kind),
            "key and certificate on the disk do not match",
        )
        return certificate.fingerprint(hashes.SHA256()).hex()

    def certificates_in_account(self) -> dict[str, str]:
        """The status of each certificate attached to the thing, by its id."""
        attached = self._iot.list_thing_principals(thingName=self.device.thing_name)["principals"]
        ids = [arn.rpartition("/")[2] for arn in attached]
        statuses = {
            certificate_id: self._iot.describe_certificate(certificateId=certificate_id)[
                "certificateDescription"
            ]["status"]
            for certificate_id in ids
        }
        return {certificate_id: str(status) for certificate_id, status in statuses.items()}

    def active_certificates(self) -> set[str]:
        """Every ACTIVE certificate of the account, attached or not."""
        listed = self._iot.list_certificates(pageSize=250)["certificates"]
        return {found["certificateId"] for found in listed if found["status"] == "ACTIVE"}

    def key_algorithm(self) -> str:
        """The algorithm of the certificate on the disk."""
        layout = self.device.layout
        certificate = x509.load_pem_x509_certificate(layout.certificate_path.read_bytes())
        return key_algorithm(certificate.public_key())

    def policies(self) -> list[str]:
        """The policies of the certificate on the disk."""
        region, account_id = self.lab.account.region, self.lab.account.account_id
        arn = f"arn:aws:iot:{region}:{account_id}:cert/{self.certificate_on_disk()}"
        found = self._iot.list_attached_policies(target=arn)["policies"]
        return sorted(policy["policyName"] for policy in found)

    def principal_connected(self) -> str | None:
        """The certificate with which the nucleus is connected now."""
        for connection in self.lab.iot_core.connections():
            if connection.client_id == self.device.thing_name:
                return connection.principal
        return None

    def notifications(self) -> list[Entry]:
        """What people were told of rotations."""
        return self._published("FailureTopic")

    def alerts_told(self) -> list[Entry]:
        """What people were told of the device's alerts."""
        return self._published("AlertTopic")

    def _published(self, topic: str) -> list[Entry]:
        told = self.timeline.find("notification", source="cloud")
        return [entry for entry in told if str(entry.details["topic"]).endswith(topic)]

    def inventory(self) -> inventory.Entry:
        """What the fleet's inventory says of the device."""
        table = DocumentTable(self.backend.table_name, self.lab.account.client("dynamodb"))
        return inventory.Entry.of(table.get(self.device.thing_name, INVENTORY))

    # -- the verdict ---------------------------------------------------------------------------

    def verdict(
        self,
        *,
        rotated: bool,
        job: str | None = None,
        status: str | None = None,
        reason: str | None = None,
        told: int | None = None,
        strangers: frozenset[str] = frozenset(),
    ) -> None:
        """The device is connected with one pair that matches, the cloud holds one ACTIVE
        certificate and it is that one, the job has one end, people were told, and no function
        called what its role does not allow.

        Until the grace period is over, which the verdict lets pass, the cloud may hold a second
        one, if there has been a rotation.

        ``rotated``: whether it is another certificate than before. ``told``: how many
        notifications there are in all; by default one for each job that did not succeed.
        ``strangers`` are certificates of other devices.
        """
        self.wait_for_idle()
        on_disk = self.certificate_on_disk()
        require(
            (on_disk != self.old.certificate_id) == rotated,
            f"the certificate on the disk is {'the old' if rotated else 'another'} one",
        )
        self.timeline.poll(
            lambda: self.principal_connected() == on_disk,
            f"a connection with {on_disk[:12]}",
            40,
        )
        self._judge_grace(on_disk, rotated)
        self.pass_grace()
        attached = self.certificates_in_account()
        require(attached == {on_disk: "ACTIVE"}, f"attached are {attached}, not {on_disk}")
        active = self.active_certificates() - strangers
        require(active == {on_disk}, f"ACTIVE are {active}, not {on_disk} alone")
        key = self.device.layout.private_key_path
        require(key.stat().st_mode & 0o077 == 0, "others may read the private key")
        if job is not None:
            self._judge_job(job, status or ("succeeded" if rotated else "failed"), reason)
        denied = [dict(entry.details) for entry in self.timeline.find("access-denied")]
        require(not denied, f"the functions' roles do not allow what they called: {denied}")
        expected = told if told is not None else sum(not rotated for _ in self._jobs)
        count = len(self.notifications())
        require(count == expected, f"people were told {count} times, not {expected}")
        self.timeline.poll(lambda: self._keys_kept() <= 1, "a store with one key", 20)

    def _judge_grace(self, on_disk: str, rotated: bool) -> None:
        attached = self.certificates_in_account()
        require(attached.get(on_disk) == "ACTIVE", f"attached are {attached}, and not {on_disk}")
        most = 2 if rotated or self.timeline.find("succeeded", source="jobs") else 1
        require(len(attached) <= most, f"{len(attached)} certificates are attached, not {most}")

    def _judge_job(self, job: str, status: str, reason: str | None) -> None:
        ends = [
            entry
            for entry in self.timeline.entries
            if entry.source == "jobs"
            and entry.details.get("job") == job
            and entry.event in TERMINAL
        ]
        if status == "deleted":
            require(not ends, f"{job} was deleted, and {ends[0].event if ends else ''}")
            return
        require(len(ends) == 1, f"{job} has {len(ends)} ends")
        require(ends[0].event == status, f"{job} {ends[0].event}, not {status}")
        if reason is not None:
            details = ends[0].details.get("status_details")
            said = details.get("reason") if isinstance(details, dict) else None
            require(said == reason, f"the reason is {said}, not {reason}")

    def _keys_kept(self) -> int:
        """How many private keys the store holds: none but the one in use may be left behind."""
        return sum(1 for _ in self.store.glob("?/private.key"))


def _says(entry: Entry, start: str) -> bool:
    line = str(entry.details.get("line", ""))
    return entry.source == "component" and line.startswith(start)
