"""What AWS IoT asks of a policy document, and the name of the usual role alias."""

from __future__ import annotations

# The role alias that Greengrass's installer makes, unless it is told another name.
# https://docs.aws.amazon.com/greengrass/v2/developerguide/configure-installer.html
DEFAULT_ROLE_ALIAS = "GreengrassV2TokenExchangeRoleAlias"

# https://docs.aws.amazon.com/iot/latest/apireference/API_CreatePolicy.html
POLICY_MAX_CHARACTERS = 2048


def policy_characters(document: str) -> int:
    """How many characters of a policy document count: all but white space."""
    return len("".join(document.split()))
