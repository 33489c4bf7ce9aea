"""botocore's models of the AWS services, read once for all sessions of this process.

Each session of its own would read them from disk anew: megabytes of JSON, some tenths of a
second for each account that the lab opens.
"""

from __future__ import annotations

import botocore.session
from botocore.loaders import Loader, create_loader

_loader: Loader = create_loader()


def new_session() -> botocore.session.Session:
    """A botocore session as any other, but for where it has the models from."""
    session = botocore.session.Session()
    session.register_component("data_loader", _loader)
    return session
