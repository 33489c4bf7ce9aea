"""A document read, changed and written again, until nobody wrote it in between."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rotation_cloud.documents import Document
from rotation_cloud.ports import Cloud, RecordChanged

Body = Mapping[str, Any]

#: More than write to one document at once: one of them always gets through.
_ROUNDS = 10


def revise(
    cloud: Cloud, thing: str, name: str, change: Callable[[Body], Body], expires_at: int = 0
) -> None:
    """Writes what ``change`` makes of the body, if it is another; an empty one if there is none.

    ``change`` may be called several times. Raises AwsError, and RecordChanged if it was always
    too late.
    """
    for _ in range(_ROUNDS):
        found = cloud.documents.get(thing, name) or Document(thing, name)
        body = change(found.body)
        if body == found.body:
            return
        try:
            cloud.documents.write(
                Document(thing, name, body, expires_at, found.version, found.writer)
            )
        except RecordChanged:
            continue
        return
    raise RecordChanged(f"{thing} {name}")
