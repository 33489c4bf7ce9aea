"""What letting a device in asks of AWS IoT beside the registry's everyday calls."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from rotation_cloud.aws_errors import translated
from rotation_cloud.described import registered
from rotation_cloud.ports import AlreadyThere, Registered, certificate_id_of


class IotRegistrar:
    """See ports.Registrar."""

    def __init__(self, iot: Any) -> None:
        self._iot = iot

    def ca(self, ca_id: str) -> Registered:
        with translated("DescribeCACertificate"):
            found = self._iot.describe_ca_certificate(certificateId=ca_id)
        return registered(found["certificateDescription"])

    def create_thing(self, thing: str) -> None:
        # With other attributes it is there all the same:
        # https://docs.aws.amazon.com/iot/latest/apireference/API_CreateThing.html
        with suppress(AlreadyThere), translated("CreateThing"):
            self._iot.create_thing(thingName=thing)

    def activate(self, arn: str) -> None:
        with translated("UpdateCertificate"):
            self._iot.update_certificate(certificateId=certificate_id_of(arn), newStatus="ACTIVE")
