"""The AWS IoT Device SDK's Greengrass IPC client, loaded without the rest of the SDK.

Importing anything of ``awsiot`` first runs the package's own ``__init__``, which loads
MQTT clients that the daemon never uses: some 50 ms at each start and 2 MB all day
(docs/decisions/0005). So an empty package of that name stands in while the IPC modules
are imported, and is taken away again. Left as it is if the SDK is loaded already.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import PathFinder
from types import ModuleType

PACKAGE = "awsiot"


@contextmanager
def _empty_package() -> Iterator[None]:
    if PACKAGE in sys.modules:
        yield
        return
    spec = PathFinder.find_spec(PACKAGE)
    if spec is None or spec.submodule_search_locations is None:
        yield  # the import below says what is missing
        return
    package = ModuleType(PACKAGE)
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules[PACKAGE] = package
    try:
        yield
    finally:
        del sys.modules[PACKAGE]


with _empty_package():
    from awsiot.eventstreamrpc import Connection, LifecycleHandler, MessageAmendment
    from awsiot.greengrasscoreipc import model
    from awsiot.greengrasscoreipc.client import GreengrassCoreIPCClient
    from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

__all__ = [
    "Connection",
    "GreengrassCoreIPCClient",
    "GreengrassCoreIPCClientV2",
    "LifecycleHandler",
    "MessageAmendment",
    "model",
]
