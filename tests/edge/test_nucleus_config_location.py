"""Where a path or URI of the nucleus points, and that a PIN in it never shows."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certkeeper.edge.location import without_pin
from certkeeper.edge.nucleus_config import LocationError, Pkcs11, resolve

PATHS = {
    "/greengrass/v2/thingCert.crt": "/greengrass/v2/thingCert.crt",
    "/with space/and%20percent": "/with space/and%20percent",
    "/odd:name/file:/x": "/odd:name/file:/x",
    "file:/greengrass/v2/thingCert.crt": "/greengrass/v2/thingCert.crt",
    "file:///greengrass/v2/thingCert.crt": "/greengrass/v2/thingCert.crt",
    "file://localhost/greengrass/v2/thingCert.crt": "/greengrass/v2/thingCert.crt",
    "FILE:///x": "/x",
    "file:///with%20space/%C3%A9/100%25": "/with space/é/100%",
    "file:///%2525": "/%25",
    "file:///not-utf-8/%ff": "/not-utf-8/\udcff",
}


@pytest.mark.parametrize(("uri", "path"), PATHS.items())
def test_a_path_and_a_file_uri_give_a_path(uri: str, path: str) -> None:
    """A plain path is literal, a file: URI of any form is percent-decoded once."""
    assert resolve(uri) == Path(path)


REFUSED = {
    "": "is empty",
    "file:": "is empty",
    "thingCert.crt": "not an absolute path",
    "file:thingCert.crt": "not an absolute path",
    "file://": "is empty",
    "file://server/share/x": "of another host",
    "file:///x?y": "no query or fragment",
    "file:///x#y": "no query or fragment",
    "/nul\0byte": "NUL byte",
    "file:///nul%00byte": "NUL byte",
    "/lone\ud800surrogate": "no file name can have",
    "https://user:hunter2@example.com/x": "of the kind https: is not supported",
    "handle:0x81000002": "in a TPM",
    "C:relative": "not an absolute path",
}


@pytest.mark.parametrize(("uri", "reason"), REFUSED.items())
def test_what_names_no_file_is_refused_with_a_reason(uri: str, reason: str) -> None:
    """Relative paths, other hosts, other schemes and impossible names give a clear error."""
    with pytest.raises(LocationError) as refusal:
        resolve(uri)
    assert reason in str(refusal.value)
    assert "hunter2" not in str(refusal.value)


PKCS11 = {
    "pkcs11:object=key;type=private": "pkcs11:object=key;type=private",
    "PKCS11:token=My%20Token;object=key": "pkcs11:token=My%20Token;object=key",
    "pkcs11:object=key?pin-value=hunter2": "pkcs11:object=key",
    "pkcs11:object=key?pin-value=hunter2&module-name=softhsm": (
        "pkcs11:object=key?module-name=softhsm"
    ),
    "pkcs11:object=key?pin-source=file:/hunter2": "pkcs11:object=key",
    # As the documentation of nucleus lite writes it, against RFC 7512.
    "pkcs11:token=ggl;object=key;pin-value=hunter2": "pkcs11:token=ggl;object=key",
    "pkcs11:pin-value=hunter2;object=key": "pkcs11:object=key",
    "pkcs11:object=key;PIN-VALUE=hunter2": "pkcs11:object=key",
    "pkcs11:object=key;pin%2Dvalue=hunter2": "pkcs11:object=key",
    "pkcs11:object=key;pin-value=1;hunter2": "pkcs11:object=key",
    "pkcs11:object=key?pin-value=1&hunter2": "pkcs11:object=key",
    "pkcs11:object=key;pin-value=1?hunter2": "pkcs11:object=key",
    "pkcs11:hunter2": "pkcs11:",
}


@pytest.mark.parametrize(("uri", "shown"), PKCS11.items())
def test_a_pkcs11_uri_is_kept_without_its_pin(uri: str, shown: str) -> None:
    """However the PIN is written, neither str nor repr of the location holds it."""
    location = resolve(uri)
    assert location == Pkcs11(uri)
    assert str(location) == shown
    assert "hunter2" not in repr(location)
    assert "hunter2" not in repr(Pkcs11(uri))


@pytest.mark.parametrize(
    "text",
    ["pkcs11;pin-value=hunter2", "x pin-source=hunter2", " pkcs11:object=k;pin-value=hunter2"],
)
def test_a_pin_in_a_malformed_uri_does_not_show_in_the_error(text: str) -> None:
    """A mistyped scheme must not put the PIN into the log."""
    with pytest.raises(LocationError) as refusal:
        resolve(text)
    assert "hunter2" not in str(refusal.value)


@given(st.text(max_size=40), st.sampled_from(["", "/", "file:", "file:///", "pkcs11:", "x:"]))
def test_any_text_gives_a_location_or_a_location_error(text: str, prefix: str) -> None:
    """No text from a configuration file raises anything else."""
    with suppress(LocationError):
        resolve(prefix + text)


@given(
    st.lists(
        st.sampled_from(["object=key", "pin-value=9137", "pin-source=|9137", "x"]), max_size=4
    ),
    st.lists(st.sampled_from(["pin-value=9137", "module-path=/lib/p11.so", "9137"]), max_size=4),
)
def test_no_arrangement_of_attributes_shows_the_pin(path: list[str], query: list[str]) -> None:
    """The PIN is gone wherever it stands, and stripping twice changes nothing."""
    shown = without_pin(f"pkcs11:{';'.join(path)}?{'&'.join(query)}")
    assert "9137" not in shown
    assert without_pin(shown) == shown
