"""The component by its recipe, on a core device of the lab: seen from cloud, log and disk."""

from __future__ import annotations

import itertools
import json
import os
import signal
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from lab.cloud.device_policy import core_device_policy
from lab.cloud_inbox import CloudInbox
from lab.lab import Lab
from lab.nucleus.core_device import CoreDevice
from lab.nucleus.lifecycle import State
from lab.nucleus.recipe import Runtime

ENDS = datetime.now(UTC) + timedelta(days=6, hours=12)
_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """One account for the devices of this file."""
    with Lab() as opened:
        inbox = CloudInbox(opened.iot_core, opened.account, opened.timeline)
        yield opened
        inbox.close()


@pytest.fixture(params=["classic", "lite"])
def runtime(request: pytest.FixtureRequest) -> Runtime:
    """Each kind of nucleus in turn."""
    kind: Runtime = request.param
    return kind


def _thing() -> str:
    return f"press-{next(_NUMBERS)}"


def _log(device: CoreDevice) -> str:
    path = device.layout.log_path("community.greengrass.CertificateKeeper")
    return path.read_text()


@pytest.mark.parametrize("key_algorithm", ["ECDSA-P256", "ECDSA-P384", "ECDSA-P521", "RSA-2048"])
def test_alert_of_each_key_type_verifies(lab: Lab, key_algorithm: str) -> None:
    """An alert signed by a key of each type verifies against the registered certificate."""
    device, identity = lab.core_device(_thing(), not_after=ENDS, key_algorithm=key_algorithm)
    device.start()
    alert = lab.timeline.wait_for("alert-received", thing=device.thing_name)
    assert alert.details["signature"] == "verified"
    assert alert.details["certificateId"] == identity.certificate_id
    device.stop()


def test_restart_raises_no_second_alert(lab: Lab, runtime: Runtime) -> None:
    """After a restart of the component, and of the whole nucleus, there is still one alert."""
    device, _ = lab.core_device(_thing(), runtime=runtime, not_after=ENDS)
    device.start()
    lab.timeline.wait_for("health-received", thing=device.thing_name)
    for again in (device.restart_component, device.stop):
        mark = lab.timeline.mark()
        again()
        if again == device.stop:
            device.start()
        lab.timeline.wait_for("checked", source="component", after=mark)
        lab.timeline.wait_for("health-received", after=mark, thing=device.thing_name)
    assert len(lab.timeline.find("alert-received", thing=device.thing_name)) == 1
    device.stop()


def test_fleet_provisioned_device_is_found(lab: Lab) -> None:
    """Empty paths in effectiveConfig.yaml do not matter: config.tlog is believed."""
    device, identity = lab.core_device(_thing(), not_after=ENDS, fleet_provisioned=True)
    effective = (device.layout.root / "config" / "effectiveConfig.yaml").read_text()
    assert "certificateFilePath: ''" in effective
    device.start()
    alert = lab.timeline.wait_for("alert-received", thing=device.thing_name)
    assert alert.details["certificateId"] == identity.certificate_id
    device.stop()


def test_aws_certificate_of_2049_has_a_deadline_by_age(lab: Lab) -> None:
    """AWS IoT's own certificate gives no alert, until an age policy gives it a deadline."""
    device, _ = lab.core_device(_thing())
    device.start()
    health = lab.timeline.wait_for("health-received", thing=device.thing_name)
    assert health.details["status"] != "critical"
    assert not lab.timeline.find("alert-received", thing=device.thing_name)
    device.deploy({"maxAgeDays": 5})
    alert = lab.timeline.wait_for("alert-received", thing=device.thing_name)
    assert alert.details["type"] == "certificate.expiring"
    assert alert.details["threshold"] == 7
    device.stop()


def test_configuration_change_takes_effect(lab: Lab, runtime: Runtime) -> None:
    """A deployed threshold is in force at once: on classic in the same process, which lite ends."""
    ends = datetime.now(UTC) + timedelta(days=50)
    device, _ = lab.core_device(_thing(), runtime=runtime, not_after=ends)
    device.start()
    lab.timeline.wait_for("health-received", thing=device.thing_name)
    pid = device.component_pid
    device.deploy({"thresholds": [60]})
    alert = lab.timeline.wait_for("alert-received", thing=device.thing_name)
    assert alert.details["threshold"] == 60
    assert (device.component_pid == pid) == (runtime == "classic")
    device.stop()


def test_bad_configuration_is_refused_with_its_key(lab: Lab, runtime: Runtime) -> None:
    """Classic refuses the deployment in our words; lite cannot ask, so it is kept out and said."""
    device, _ = lab.core_device(_thing(), runtime=runtime, not_after=ENDS)
    device.start()
    lab.timeline.wait_for("health-received", thing=device.thing_name)
    mark = lab.timeline.mark()
    if runtime == "classic":
        with pytest.raises(Exception, match="thresholds must hold whole numbers"):
            device.deploy({"thresholds": ["soon"]})
    else:
        device.deploy({"thresholds": ["soon"]})
        refused = lab.timeline.wait_for("configuration-refused", after=mark)
        assert "key=thresholds" in str(refused.details["line"])
        lab.timeline.wait_for(
            "health-received", after=mark, thing=device.thing_name, not_ok=["configuration"]
        )
    kept = json.loads((device.work_path / "configuration.json").read_bytes())
    assert kept["thresholds"] == [30, 15, 7, 3, 1]
    device.stop()


def test_lost_ipc_is_made_again_with_its_subscriptions(lab: Lab, runtime: Runtime) -> None:
    """After the nucleus cut every connection, a deployment still reaches the same process."""
    ends = datetime.now(UTC) + timedelta(days=50)
    device, _ = lab.core_device(_thing(), runtime=runtime, not_after=ends)
    device.start()
    lab.timeline.wait_for("health-received", thing=device.thing_name)
    mark = lab.timeline.mark()
    device.drop_ipc()
    lab.timeline.wait_for("ipc-lost", after=mark)
    lab.timeline.wait_for("subscribed", source="component", after=mark)
    device.deploy({"thresholds": [60]})
    lab.timeline.wait_for("alert-received", after=mark, thing=device.thing_name)
    device.stop()


def test_alert_waits_while_the_cloud_is_away(lab: Lab, runtime: Runtime) -> None:
    """With the cloud away the alert is kept by the nucleus or by us, and arrives once."""
    device, _ = lab.core_device(_thing(), runtime=runtime)
    device.start()
    lab.timeline.wait_for("health-received", thing=device.thing_name)
    lab.iot_core.go_away()
    lab.timeline.wait_for("mqtt-disconnected", source="nucleus")
    mark = lab.timeline.mark()
    device.deploy({"maxAgeDays": 5})
    taken = "published" if runtime == "classic" else "publish-failed"
    lab.timeline.wait_for(taken, source="component", after=mark)
    assert not lab.timeline.find("alert-received", thing=device.thing_name)
    lab.iot_core.come_back()
    lab.timeline.wait_for("alert-received", thing=device.thing_name, timeout=60)
    lab.timeline.wait_for("health-received", after=mark, thing=device.thing_name, timeout=60)
    assert len(lab.timeline.find("alert-received", thing=device.thing_name)) == 1
    device.stop()


def test_topic_outside_access_control_is_said_with_its_remedy(lab: Lab, runtime: Runtime) -> None:
    """A topic that the recipe does not allow fails loudly, and other messages still go out."""
    device, _ = lab.core_device(
        _thing(), runtime=runtime, not_after=ENDS, configuration={"alertTopic": "other/alerts"}
    )
    mark = lab.timeline.mark()
    device.start()
    failed = lab.timeline.wait_for("publish-failed", source="component", after=mark)
    assert "topic=other/alerts" in str(failed.details["line"])
    assert "accessControl" in str(failed.details["line"])
    device.stop()


def test_publish_that_the_iot_policy_refuses_is_lost_in_silence(lab: Lab) -> None:
    """As on AWS: the component sees success, the cloud sees nothing, the endpoint denied it."""
    thing = _thing()
    account = lab.account
    policy = core_device_policy(region=account.region, account_id=account.account_id)
    for statement in policy["Statement"]:
        resources = statement["Resource"]
        if isinstance(resources, list):
            statement["Resource"] = [r for r in resources if "alerts" not in r]
    device, _ = lab.core_device(thing, not_after=ENDS, policy=policy)
    mark = lab.timeline.mark()
    device.start()
    lab.timeline.wait_for("publish-denied", source="iot-core", after=mark)
    published = lab.timeline.wait_for("published", source="component", after=mark)
    assert "greengrass/alerts/certificates" in str(published.details["line"])
    lab.timeline.wait_for("health-received", thing=thing)
    assert not lab.timeline.find("alert-received", thing=thing)
    device.stop()


def test_killed_component_is_started_again_until_broken(lab: Lab) -> None:
    """Killed, it comes back; killed three times within the hour, the nucleus gives it up."""
    device, _ = lab.core_device(_thing(), not_after=ENDS)
    mark = lab.timeline.mark()
    device.start()
    for time in range(3):
        lab.timeline.wait_for("started", source="component", after=mark)
        mark = lab.timeline.mark()
        os.kill(device.component_pid, signal.SIGKILL)
        state = "BROKEN" if time == 2 else "ERRORED"
        lab.timeline.wait_for("component-state", state=state, after=mark)
    assert device.component_state is State.BROKEN
    device.stop()


def test_asked_to_stop_it_exits_with_0(lab: Lab, runtime: Runtime) -> None:
    """SIGTERM ends the process with exit code 0, and says why in the log."""
    device, _ = lab.core_device(_thing(), runtime=runtime, not_after=ENDS)
    mark = lab.timeline.mark()
    device.start()
    lab.timeline.wait_for("health-received", thing=device.thing_name)
    device.stop()
    lab.timeline.wait_for("component-exited", step="run", code=0, after=mark)
    assert "stopping why=SIGTERM" in _log(device)


def test_files_of_the_component_are_private(lab: Lab) -> None:
    """What the component writes has mode 0600, and nothing is left beside the credentials."""
    device, _ = lab.core_device(_thing(), not_after=ENDS)
    before = {path.name for path in device.layout.private_key_path.parent.iterdir()}
    device.start()
    lab.timeline.wait_for("health-received", thing=device.thing_name)
    device.stop()
    written = {path.name for path in device.work_path.iterdir()}
    assert written == {"python", "record.json", "configuration.json"}
    for name in ("record.json", "configuration.json"):
        assert stat.S_IMODE((device.work_path / name).stat().st_mode) == 0o600
    after = {path.name for path in device.layout.private_key_path.parent.iterdir()}
    assert after == before


def test_no_secret_reaches_log_cloud_or_disk(lab: Lab, runtime: Runtime) -> None:
    """The private key, the SVCUID and a PIN in a URI appear nowhere outside their own place."""
    device, identity = lab.core_device(
        _thing(),
        runtime=runtime,
        not_after=ENDS,
        configuration={
            "logLevel": "DEBUG",
            "watch": ["pkcs11:object=x;type=cert?pin-value=MARKER4711"],
        },
    )
    mark = lab.timeline.mark()
    device.start()
    lab.timeline.wait_for("health-received", thing=device.thing_name)
    device.stop()
    key_lines = [line for line in identity.private_key_pem.splitlines() if "-----" not in line]
    seen = _log(device) + "".join(str(e.details) for e in lab.timeline.entries[mark:])
    seen += (device.work_path / "record.json").read_text()
    for secret in (*key_lines, "MARKER4711"):
        assert secret not in seen
