"""The AWS IoT Device SDK's Greengrass IPC client, loaded without the rest of the SDK.

Importing anything of ``awsiot`` first runs the package's own ``__init__``, which loads
MQTT clients that the daemon never uses: some 50 ms at each start and 2 MB all day
(docs/decisions/0005). So an empty package of that name takes its place, unless the SDK
is loaded already; its modules can all be imported from there.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from types import ModuleType

PACKAGE = "awsiot"

_spec = None if PACKAGE in sys.modules else PathFinder.find_spec(PACKAGE)
if _spec is not None and _spec.submodule_search_locations is not None:
    _package = ModuleType(PACKAGE)
    _package.__path__ = list(_spec.submodule_search_locations)
    _package.__spec__ = _spec
    sys.modules[PACKAGE] = _package

# ruff: noqa: E402  # only now
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
