"""One zip of some files, the same bytes wherever and whenever it is made.

Files are stored in the order of their names, uncompressed: what a compressor makes of them
differs from one zlib to the next, and packages are compressed already. Folders get no
entries; both kinds of nucleus make those that they need (``Unarchiver`` of classic,
``ggl_zip_unarchive`` of lite), and neither looks at the modes.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

# The first instant that a zip can name.
_EPOCH = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_MODE = 0o100644


def archived(files: Mapping[str, bytes]) -> bytes:
    """The zip of these files; keys are paths in it, with ``/``."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(files):
            entry = zipfile.ZipInfo(path, date_time=_EPOCH)
            entry.create_system = _UNIX
            entry.external_attr = _MODE << 16
            archive.writestr(entry, files[path])
    return buffer.getvalue()
