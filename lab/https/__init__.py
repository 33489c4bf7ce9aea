"""The HTTPS side of the account on loopback: for devices, and for the account's own functions.

One request goes: ``listener`` accepts the connection, ``connection`` lets the certificate
in (``iot_core.tls``) and cuts bytes into requests (``message``), ``device_endpoint`` or
``data_plane`` choose who answers: ``credentials``, ``jobs_routes``, or the broker. What a
certificate may do is asked of ``permission``.

Left out, though AWS has it: HTTP/2, chunked requests, publishing and shadows over HTTPS
for devices, checking the signatures of the account's own requests.
"""
