"""A person gives a device a new pair, as docs/operations.md says under "Recover a device"."""

from __future__ import annotations

from collections.abc import Sequence

from lab.scenarios.stage import THING, Stage


def give_new_pair(stage: Stage, policies: Sequence[str]) -> None:
    """A new certificate with these policies is attached, and lies with its key in place."""
    iot = stage.lab.account.client("iot")
    made = iot.create_keys_and_certificate(setAsActive=True)
    for policy in policies:
        iot.attach_policy(policyName=policy, target=made["certificateArn"])
    iot.attach_thing_principal(thingName=THING, principal=made["certificateArn"])
    layout = stage.device.layout
    for path, content in (
        (layout.certificate_path, made["certificatePem"]),
        (layout.private_key_path, made["keyPair"]["PrivateKey"]),
    ):
        path.unlink()
        path.touch(0o600)
        path.write_text(content)


def remove(stage: Stage, certificate_id: str, policies: Sequence[str]) -> None:
    """A certificate of the device that nobody needs any more is taken out of the account."""
    iot, account = stage.lab.account.client("iot"), stage.lab.account
    arn = f"arn:aws:iot:{account.region}:{account.account_id}:cert/{certificate_id}"
    iot.update_certificate(certificateId=certificate_id, newStatus="INACTIVE")
    for policy in policies:
        iot.detach_policy(policyName=policy, target=arn)
    iot.detach_thing_principal(thingName=THING, principal=arn)
    iot.delete_certificate(certificateId=certificate_id)
