"""The MQTT endpoint of AWS IoT Core on loopback: mutual TLS, IoT policies, sessions, presence.

A walk along one connection: ``endpoint`` accepts it, ``tls`` lets its certificate in,
``connection`` cuts bytes into packets (``wire``, ``packets``, ``codec``), ``admission``
answers CONNECT, ``client`` does what the packets ask if ``authorizer`` and ``policy``
allow it, ``broker`` routes messages to each ``session`` and its ``outbox``, and
``presence`` tells the account who came and went. ``iot_core`` is the door for blocking
code, ``registry`` what it needs of an account.

Left out, though AWS has it: shared subscriptions, the will's delay, WebSockets, request
rates, subscription events, sending again on a live connection. Not demanded, though AWS
does: SNI, and a keep-alive of at least 30 s.
"""
