"""The MQTT endpoint of AWS IoT Core on loopback: mutual TLS, IoT policies, sessions, presence.

A walk through one connection: ``endpoint`` accepts it, ``tls`` lets its certificate in,
``wire`` and ``packets`` turn bytes into packets, ``client`` does what they ask if
``authorizer`` and ``policy`` allow it, ``broker`` routes messages into each ``session``,
and ``presence`` tells the account who came and went. ``iot_core`` is the door for
blocking code. Left out: shared subscriptions, QoS 2 (AWS has none), WebSockets, will delay.
"""
