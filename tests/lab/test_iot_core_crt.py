"""The clients of the AWS SDKs, on which the nucleus is built: aws-c-mqtt, 3.1.1 and 5."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from awscrt import mqtt, mqtt5
from awsiot import mqtt5_client_builder, mqtt_connection_builder

from lab.iot_core.wire import Reason
from tests.lab.iot_core_site import ARN, WAIT, Device, Site, allow


class Nucleus:
    """An MQTT 5 client set up as the nucleus sets up its own."""

    def __init__(self, site: Site, device: Device, client_id: str, **options: Any) -> None:
        self.events: queue.Queue[Any] = queue.Queue()
        self.messages: queue.Queue[Any] = queue.Queue()
        self.client = mqtt5_client_builder.mtls_from_path(
            str(device.certificate),
            str(device.key),
            endpoint=site.core.host,
            port=site.core.port,
            ca_filepath=str(site.authority.certificate),
            client_id=client_id,
            keep_alive_interval_sec=60,
            session_expiry_interval_sec=0xFFFFFFFF,
            receive_maximum=100,
            session_behavior=mqtt5.ClientSessionBehaviorType.REJOIN_POST_SUCCESS,
            min_reconnect_delay_ms=10,
            max_reconnect_delay_ms=50,
            topic_aliasing_options=mqtt5.TopicAliasingOptions(
                outbound_behavior=mqtt5.OutboundTopicAliasBehaviorType.LRU,
                outbound_cache_max_size=8,
                inbound_behavior=mqtt5.InboundTopicAliasBehaviorType.ENABLED,
                inbound_cache_max_size=8,
            ),
            on_lifecycle_connection_success=self.events.put,
            on_lifecycle_connection_failure=self.events.put,
            on_lifecycle_disconnection=self.events.put,
            on_lifecycle_stopped=self.events.put,
            on_publish_received=lambda data: self.messages.put(data.publish_packet),
            **options,
        )
        self.client.start()

    def __enter__(self) -> Nucleus:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.stop(mqtt5.DisconnectPacket())
        self.event(mqtt5.LifecycleStoppedData)

    def event(self, kind: type[Any]) -> Any:
        """The next event of that kind; others are passed over."""
        while not isinstance(event := self.events.get(timeout=WAIT), kind):
            pass
        return event

    def subscribe(self, topic_filter: str) -> list[int]:
        packet = mqtt5.SubscribePacket([mqtt5.Subscription(topic_filter, mqtt5.QoS.AT_LEAST_ONCE)])
        return list(self.client.subscribe(packet).result(WAIT).reason_codes)

    def publish(self, topic: str, payload: bytes, **properties: Any) -> int:
        """The reason code in the PUBACK."""
        packet = mqtt5.PublishPacket(payload, mqtt5.QoS.AT_LEAST_ONCE, topic=topic, **properties)
        return int(self.client.publish(packet).result(WAIT).puback.reason_code)


Success = mqtt5.LifecycleConnectSuccessData


def test_mqtt_5_as_the_nucleus_uses_it(site: Site) -> None:
    """Connect with its settings, subscribe, publish with aliases, and get the message."""
    device = site.device()
    with Nucleus(site, device, "press-7") as nucleus:
        terms = nucleus.event(Success).negotiated_settings
        assert terms.session_expiry_interval_sec == 3600
        assert terms.maximum_packet_size_to_server == 149504
        assert terms.receive_maximum_from_server == 100
        assert terms.topic_alias_maximum_to_server == 8
        assert terms.server_keep_alive_sec == 60
        assert nucleus.subscribe("$aws/things/press-7/jobs/notify-next") == [1]
        assert nucleus.subscribe("plant/+") == [1]
        for number in range(20):  # more topics than there are aliases
            user = [mqtt5.UserProperty("n", str(number))]
            assert nucleus.publish(f"plant/{number % 10}", b"hot", user_properties=user) == 0
            message = nucleus.messages.get(timeout=WAIT)
            assert (message.topic, message.payload) == (f"plant/{number % 10}", b"hot")
            assert message.user_properties[0].value == str(number)
        site.core.publish("$aws/things/press-7/jobs/notify-next", b"{}")
        assert nucleus.messages.get(timeout=WAIT).topic.endswith("notify-next")
    entry = site.timeline.wait_for("disconnected", client_id="press-7")
    assert entry.details["reason"] == "CLIENT_INITIATED_DISCONNECT"


def test_denied_publish_and_subscribe(site: Site) -> None:
    """The SDK sees 0x87 in PUBACK and SUBACK, and stays connected."""
    device = site.device(
        "press-7",
        allow("iot:Connect"),
        allow("iot:Publish", resource=f"{ARN}:topic/mine/*"),
    )
    with Nucleus(site, device, "press-7") as nucleus:
        nucleus.event(Success)
        assert nucleus.publish("others/7", b"") == Reason.NOT_AUTHORIZED
        assert nucleus.subscribe("others/7") == [Reason.NOT_AUTHORIZED]
        assert nucleus.publish("mine/7", b"") == 0


def test_a_refused_certificate_and_then_an_active_one(site: Site) -> None:
    """The SDK keeps trying; activating the certificate lets it in without a restart."""
    device = site.device()
    site.registry.set_status(device, "INACTIVE")
    with Nucleus(site, device, "press-7") as nucleus:
        nucleus.event(mqtt5.LifecycleConnectFailureData)
        site.registry.set_status(device, "ACTIVE")
        nucleus.event(Success)
        site.registry.set_status(device, "INACTIVE")
        site.core.enforce_registry()
        dropped = nucleus.event(mqtt5.LifecycleDisconnectData)
        assert dropped.disconnect_packet.reason_code == Reason.NOT_AUTHORIZED
        nucleus.event(mqtt5.LifecycleConnectFailureData)


def test_a_refused_connect(site: Site) -> None:
    """A policy without iot:Connect is told in the CONNACK."""
    with Nucleus(site, site.device("press-7", allow("iot:Publish")), "press-7") as nucleus:
        failure = nucleus.event(mqtt5.LifecycleConnectFailureData)
    assert failure.connack_packet.reason_code == Reason.NOT_AUTHORIZED


def test_an_outage_with_a_session_to_rejoin(site: Site) -> None:
    """The SDK comes back by itself, rejoins its session and gets what was published meanwhile."""
    device = site.device()
    with Nucleus(site, device, "press-7") as nucleus:
        nucleus.event(Success)
        nucleus.subscribe("t")
        site.core.go_away()
        nucleus.event(mqtt5.LifecycleConnectFailureData)
        site.core.publish("t", b"meanwhile")
        site.core.come_back()
        assert nucleus.event(Success).connack_packet.session_present
        assert nucleus.messages.get(timeout=WAIT).payload == b"meanwhile"


@contextmanager
def connected_311(
    site: Site, device: Device, client_id: str, **options: Any
) -> Iterator[mqtt.Connection]:
    connection = mqtt_connection_builder.mtls_from_path(
        str(device.certificate),
        str(device.key),
        endpoint=site.core.host,
        port=site.core.port,
        ca_filepath=str(site.authority.certificate),
        client_id=client_id,
        keep_alive_secs=60,
        **options,
    )
    connection.connect().result(WAIT)
    try:
        yield connection
    finally:
        connection.disconnect().result(WAIT)


def test_mqtt_3_1_1(site: Site) -> None:
    """The older client of the SDK works, too, with its metrics in the user name."""
    device = site.device()
    messages: queue.Queue[tuple[str, bytes]] = queue.Queue()

    def on_message(topic: str, payload: bytes, **_: Any) -> None:
        messages.put((topic, payload))

    with connected_311(site, device, "press-7", clean_session=False) as connection:
        subscribed, _ = connection.subscribe("plant/#", mqtt.QoS.AT_LEAST_ONCE, on_message)
        assert subscribed.result(WAIT)["qos"] == mqtt.QoS.AT_LEAST_ONCE
        published, _ = connection.publish("plant/7", b"hot", mqtt.QoS.AT_LEAST_ONCE)
        published.result(WAIT)
        assert messages.get(timeout=WAIT) == ("plant/7", b"hot")
        assert [c.protocol_version for c in site.core.connections()] == ["MQTT 3.1.1"]


def test_the_largest_message_both_ways(site: Site) -> None:
    """128 KB pass; one byte more ends the connection."""
    device = site.device()
    with Nucleus(site, device, "press-7") as nucleus:
        nucleus.event(Success)
        nucleus.subscribe("t")
        assert nucleus.publish("t", b"x" * 131072) == 0
        assert len(nucleus.messages.get(timeout=WAIT).payload) == 131072
        packet = mqtt5.PublishPacket(b"x" * 131073, mqtt5.QoS.AT_MOST_ONCE, topic="t")
        nucleus.client.publish(packet)
        ended = nucleus.event(mqtt5.LifecycleDisconnectData)
        assert ended.disconnect_packet.reason_code == Reason.PACKET_TOO_LARGE
