"""A Greengrass nucleus, classic or lite, as a component on the device sees it.

One request of a component goes: ``ipc`` accepts the socket, ``eventstream`` turns its
bytes into messages, ``ipc_connection`` keeps the streams, the ``operations`` serve them,
``authorization`` and ``configuration`` decide. ``recipe`` and ``lifecycle`` run
the component itself; ``mqtt_proxy`` is the nucleus's own connection to AWS IoT Core.
"""
