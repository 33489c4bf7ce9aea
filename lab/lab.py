"""The lab as a whole: an account, AWS IoT Core, and core devices, all on loopback."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

from lab.account.account import Account, DeviceIdentity
from lab.account.policies import core_device_policy
from lab.iot_core.iot_core import IotCore
from lab.loop import LoopThread
from lab.nucleus.core_device import CoreDevice, Endpoint
from lab.nucleus.recipe import Runtime
from lab.nucleus.root_layout import CoreIdentity, Provisioning, lay_out_classic, lay_out_lite
from lab.timeline import Entry, Timeline


class Lab:
    """``with Lab() as lab:`` everything started; afterwards nothing is left behind."""

    def __init__(self, listener: Callable[[Entry], None] | None = None) -> None:
        self.timeline = Timeline(listener)
        self._closing = ExitStack()

    def __enter__(self) -> Lab:
        with ExitStack() as opened:
            # Short, since the path of a Unix socket has at most 107 bytes.
            self.folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="cklab-")))
            self.loop = opened.enter_context(LoopThread())
            self.account = opened.enter_context(Account(self.timeline))
            self.iot_core = self._iot_core()
            self.iot_core.start()
            opened.callback(self.iot_core.stop)
            self._closing = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

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
        configuration: Mapping[str, Any] | None = None,
    ) -> tuple[CoreDevice, DeviceIdentity]:
        """Register a thing with a certificate and a policy, and lay out its Greengrass root.

        The certificate is AWS IoT's, valid until 2049, unless a window is given. The device
        is not started; when the lab closes it is stopped.
        """
        registered = self.account.register_device(
            thing_name,
            not_before=not_before,
            not_after=not_after,
            key_algorithm=key_algorithm,
            policy_document=policy
            or core_device_policy(
                thing_name, region=self.account.region, account_id=self.account.account_id
            ),
        )
        identity = CoreIdentity(
            thing_name=thing_name,
            certificate_pem=registered.certificate_pem,
            private_key_pem=registered.private_key_pem,
            root_ca_pem=self.account.server_authority.certificate_pem,
            region=self.account.region,
            data_endpoint=self.iot_core.host,
            credential_endpoint=self.iot_core.host,
        )
        root = self.folder / thing_name
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
            configuration=configuration,
        )
        self._closing.callback(device.stop)
        return device, registered

    def _iot_core(self) -> IotCore:
        pair = self.account.server_authority.issue_server_certificate()
        certificate_path, key_path = self.folder / "server.pem", self.folder / "server.key"
        certificate_path.write_text(pair.certificate_pem)
        key_path.touch(mode=0o600)
        key_path.write_text(pair.private_key_pem)
        return IotCore(
            self.loop,
            self.timeline,
            self.account.registry,
            server_certificate=certificate_path,
            server_key=key_path,
            region=self.account.region,
            account_id=self.account.account_id,
        )
