"""The lab as a whole: an account, AWS IoT Core, and core devices, all on loopback."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

from lab.account.account import Account, DeviceIdentity
from lab.clock import LabClock
from lab.cloud.backend import Backend
from lab.cloud.device_policy import core_device_policy
from lab.https.credentials import make_role_alias
from lab.https.data_plane import DataPlane
from lab.https.device_endpoint import DeviceEndpoint
from lab.iot_core.iot_core import IotCore
from lab.jobs.mqtt import attach
from lab.jobs.ticking import tick
from lab.loop import LoopThread
from lab.nucleus.component_store import built
from lab.nucleus.core_device import CoreDevice, Endpoint
from lab.nucleus.recipe import Runtime
from lab.nucleus.root_layout import CoreIdentity, Provisioning, lay_out_classic, lay_out_lite
from lab.timeline import Entry, Timeline
from rotation_protocol import topics


class Lab:
    """``with Lab() as lab:`` everything started; afterwards nothing is left behind.

    Devices get the component from a build: from the folder ``component``, as ``gdk_build.py``
    wrote it, or else from one that is made of the project as it stands, without wheels.
    """

    def __init__(
        self,
        listener: Callable[[Entry], None] | None = None,
        *,
        component: Path | None = None,
    ) -> None:
        self.timeline = Timeline(listener)
        #: The cloud's: of the Jobs service, the workflows and the functions.
        self.clock = LabClock()
        self._component = component
        self._closing = ExitStack()

    def __enter__(self) -> Lab:
        with ExitStack() as opened:
            # Short, since the path of a Unix socket has at most 107 bytes.
            self.folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="cklab-")))
            self.component = self._component or built(self.folder / "component")
            self.loop = opened.enter_context(LoopThread())
            self.account = opened.enter_context(Account(self.timeline))
            make_role_alias(self.account)
            self.jobs = self.account.jobs
            self.jobs.clock = self.account.state_machines.clock = self.clock
            pair = self._server_pair()
            self.iot_core = IotCore(
                self.loop,
                self.timeline,
                self.account.registry,
                server_certificate=pair[0],
                server_key=pair[1],
                region=self.account.region,
                account_id=self.account.account_id,
                auto_registration=self.account.auto_registration,
            )
            self.https = DeviceEndpoint(
                self.loop,
                self.timeline,
                self.account,
                self.jobs,
                server_certificate=pair[0],
                server_key=pair[1],
            )
            self.data_plane = DataPlane(self.loop, self.timeline, self.iot_core, self.jobs)
            for server in (self.iot_core, self.https, self.data_plane):
                server.start()
                opened.callback(server.stop)
            self.jobs.publish = self.iot_core.publish
            attach(self.iot_core, self.jobs)
            tick(self.loop, self.jobs)
            self._closing = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def deploy_backend(self, **parameters: str) -> Backend:
        """Deploy cloud/template.yaml in the account; ``parameters`` where not its defaults.

        It is removed when the lab closes.
        """
        backend = Backend(
            self.account,
            self.iot_core,
            self.timeline,
            self.data_plane.url,
            parameters,
            clock=self.clock,
        )
        return self._closing.enter_context(backend)

    def pass_time(self, seconds: float) -> None:
        """Let so much time pass in the cloud, at once, and what is due then happen."""
        self.clock.advance(seconds)
        self.jobs.expire()
        self.account.state_machines.run_due()

    def core_device(
        self,
        thing_name: str,
        *,
        runtime: Runtime = "classic",
        not_before: datetime | None = None,
        not_after: datetime | None = None,
        key_algorithm: str = "ECDSA-P256",
        fleet_provisioned: bool = False,
        policy: Mapping[str, Any] | None = None,
        topic_prefix: str = topics.PREFIX,
        configuration: Mapping[str, Any] | None = None,
        python: Path | None = None,
    ) -> tuple[CoreDevice, DeviceIdentity]:
        """Register a thing with a certificate and a policy, and lay out its Greengrass root.

        The policy is the template's, unless another one is given. The certificate is AWS
        IoT's, valid until 2049, unless a window is given. The device's Python is the lab's
        own, unless the folder of another is given. The device is not started; when the
        lab closes it is stopped.
        """
        registered = self.account.register_device(
            thing_name,
            not_before=not_before,
            not_after=not_after,
            key_algorithm=key_algorithm,
            policy_document=policy
            or core_device_policy(
                region=self.account.region,
                account_id=self.account.account_id,
                TopicPrefix=topic_prefix,
            ),
        )
        device = self.lay_out(
            registered,
            runtime=runtime,
            fleet_provisioned=fleet_provisioned,
            configuration=configuration,
            python=python,
        )
        return device, registered

    def lay_out(
        self,
        registered: DeviceIdentity,
        *,
        runtime: Runtime = "classic",
        fleet_provisioned: bool = False,
        configuration: Mapping[str, Any] | None = None,
        python: Path | None = None,
        folder: str = "",
    ) -> CoreDevice:
        """A core device with this identity, whether the account knows it or not; not started.

        Its root is in the lab's folder, called like the thing unless a name is given; its
        Python is the lab's own unless the folder of another is given.
        """
        thing_name = registered.thing_name
        identity = CoreIdentity(
            thing_name=thing_name,
            certificate_pem=registered.certificate_pem,
            private_key_pem=registered.private_key_pem,
            root_ca_pem=self.account.server_authority.certificate_pem,
            region=self.account.region,
            # The port belongs to HTTPS; the lab's nucleus knows its MQTT endpoint otherwise.
            data_endpoint=self.https.address,
            credential_endpoint=self.https.address,
        )
        root = self.folder / (folder or thing_name)
        if runtime == "lite":
            layout = lay_out_lite(root, identity)
        else:
            provisioning: Provisioning = "fleet" if fleet_provisioned else "automatic"
            layout = lay_out_classic(root, identity, provisioning=provisioning)
        device = CoreDevice(
            self.loop,
            self.timeline,
            layout,
            thing_name=thing_name,
            region=self.account.region,
            endpoint=Endpoint(self.iot_core.host, self.iot_core.port),
            component=self.component,
            python=python,
            configuration=configuration,
        )
        self._closing.callback(device.stop)
        return device

    def _server_pair(self) -> tuple[Path, Path]:
        """Certificate and key of the account's endpoints, in PEM files."""
        pair = self.account.server_authority.issue_server_certificate()
        certificate_path, key_path = self.folder / "server.pem", self.folder / "server.key"
        certificate_path.write_text(pair.certificate_pem)
        key_path.touch(mode=0o600)
        key_path.write_text(pair.private_key_pem)
        return certificate_path, key_path
