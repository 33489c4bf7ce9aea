"""The AWS side of this process's environment while an account of the lab is open.

moto, and code that runs against the account in this process, make AWS clients of
their own, and those read the environment. So the user's profile, configuration files
and credentials are set aside, and what is there instead leads to the lab alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

# What moto takes for its default account; nothing checks the secret.
ACCESS_KEY_ID = "lab"
SECRET_ACCESS_KEY = "lab"  # noqa: S105  (not a secret: no real service knows it)


def aws_environment(endpoint_url: str, region: str) -> dict[str, str]:
    """The variables with which an AWS SDK or CLI talks to this endpoint and to nothing else.

    https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html
    """
    return {
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@contextmanager
def only_aws_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Makes these the only AWS_ variables of the process, and restores the user's at the end."""
    set_aside = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    _replace_aws_variables(variables)
    try:
        yield
    finally:
        _replace_aws_variables(set_aside)


def _replace_aws_variables(variables: Mapping[str, str]) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(variables)
