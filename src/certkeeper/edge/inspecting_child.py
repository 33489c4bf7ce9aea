"""The other side of edge/inspector.py: one request from standard input, one answer."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from certkeeper.edge import inventory_json, x509
from certkeeper.edge.inspection import Request, inspect
from certkeeper.edge.x509 import PrivateKeyError


def main() -> int:
    """Answer the request on standard input; 0, whatever the answer says."""
    json.dump(answer(json.load(sys.stdin)), sys.stdout)
    return 0


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The answer to one request of edge/inspector.py."""
    if request.get("do") == "inspect":
        inventory = inspect(
            Request(
                root=request["root"],
                watch=tuple(request["watch"]),
                certificate_override=request["certificateFilePath"],
                private_key_override=request["privateKeyPath"],
            )
        )
        return {"inventory": inventory_json.encode(inventory)}
    if request.get("do") == "sign":
        try:
            key = x509.load_private_key(Path(request["privateKeySource"]))
            return {
                "signatures": [
                    x509.sign_detached(content.encode(), key) for content in request["contents"]
                ]
            }
        except PrivateKeyError as error:
            return {"error": str(error)}
    return {"error": "unknown request"}
