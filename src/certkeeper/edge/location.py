"""Where a certificate or key is kept: a file, or an object in a PKCS#11 token.

The nucleus takes a plain path, a ``file:`` URI (RFC 8089) or a ``pkcs11:`` URI (RFC 7512).
This says which; it opens nothing. A PIN in a URI never gets past this file.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Union
from urllib.parse import unquote_to_bytes

from rotation_protocol.values import dataclass

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")  # two letters or more: "C:" is a drive
_PIN = re.compile(r"pin-(?:value|source)", re.IGNORECASE)
#: RFC 7512 sections 2.3 and 2.4, without pin-value and pin-source. Whatever is not listed
#: is dropped, since a badly quoted PIN may look like any other attribute.
_PKCS11_ATTRIBUTES = frozenset(
    (
        *("token", "manufacturer", "serial", "model"),
        *("library-manufacturer", "library-description", "library-version"),
        *("object", "type", "id", "slot-description", "slot-manufacturer", "slot-id"),
        *("module-name", "module-path"),
    )
)


class LocationError(ValueError):
    """The text names no place that a certificate or key can be read from; says why."""


@dataclass(frozen=True)
class Pkcs11:
    """An object in a PKCS#11 token, named by its URI (RFC 7512), which is kept without its PIN."""

    uri: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "uri", without_pin(self.uri))

    def __str__(self) -> str:
        return self.uri


Location = Union[Path, Pkcs11]


def resolve(uri: str) -> Location:
    """The place that a path, ``file:`` URI or ``pkcs11:`` URI of the nucleus names.

    A plain path is taken literally, ``%`` included; a ``file:`` URI is percent-decoded.
    Raises LocationError; its message holds no PIN.
    """
    scheme = _SCHEME.match(uri)
    if scheme is None:
        return _path(uri)
    name = scheme.group(1).lower()
    if name == "pkcs11":
        return Pkcs11(uri)
    if name == "file":
        return _path_of_file_uri(uri[scheme.end() :])
    if name == "handle":
        raise LocationError("the key is in a TPM (handle:...), which is not read")
    raise LocationError(
        f"a location of the kind {name}: is not supported; give a path, a file: or a pkcs11: URI"
    )


def without_pin(text: str) -> str:
    """The text as it may be shown: a ``pkcs11:`` URI without PIN or where to find it."""
    if text.lstrip()[:7].lower() == "pkcs11:":
        path, _, query = text.lstrip()[7:].partition("?")
        kept = ";".join(filter(_is_shown, path.split(";")))
        asked = "&".join(filter(_is_shown, query.split("&")))
        return f"pkcs11:{kept}?{asked}" if asked else f"pkcs11:{kept}"
    pin = _PIN.search(text)
    return text if pin is None else text[: pin.start()] + "(not shown)"


def _is_shown(attribute: str) -> bool:
    return attribute.partition("=")[0] in _PKCS11_ATTRIBUTES


def _path_of_file_uri(rest: str) -> Path:
    """RFC 8089: file:/path, file:///path, file://localhost/path."""
    if "?" in rest or "#" in rest:
        raise LocationError("a file: URI has no query or fragment: write %3F for ?, %23 for #")
    if rest.startswith("//"):
        host, slash, path = rest[2:].partition("/")
        if host.lower() not in ("", "localhost"):
            raise LocationError("a file: URI of another host cannot be read; write file:///path")
        rest = slash + path
    decoded = os.fsdecode(unquote_to_bytes(rest))
    if os.name == "nt":
        decoded = decoded.lstrip("/")  # file:///C:/greengrass/v2
    return _path(decoded)


def _path(text: str) -> Path:
    if not text:
        raise LocationError("the path is empty")
    if "\0" in text:
        raise LocationError("the path holds a NUL byte")
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise LocationError("the path holds characters that no file name can have") from None
    path = Path(text)
    if not path.is_absolute():
        raise LocationError(f"{without_pin(text)!r} is not an absolute path; give one from / on")
    return path
