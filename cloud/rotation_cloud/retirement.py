"""Taking a certificate out of the registry, in the order that AWS IoT wants.

Inactive first, so that it opens nothing from the first call on. Every step may be repeated,
and what is gone already is no error.
https://docs.aws.amazon.com/iot/latest/apireference/API_DeleteCertificate.html
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from rotation_cloud.ports import Cloud, InUse, NotFound

#: Detaching a thing takes effect a little later: how long to wait before each further try.
WAITS = (0.5, 1, 2, 4, 8)


def retire(cloud: Cloud, arn: str, policies: Iterable[str], thing: str) -> None:
    """Deactivates, detaches and deletes the certificate. Raises AwsError: it may be repeated."""
    registry = cloud.registry
    try:
        registry.deactivate(arn)
    except NotFound:
        return
    for policy in policies:
        with suppress(NotFound):
            registry.detach_policy(arn, policy)
    with suppress(NotFound):
        registry.detach_thing(arn, thing)
    with suppress(NotFound):
        _delete(cloud, arn)


def _delete(cloud: Cloud, arn: str) -> None:
    try:
        return cloud.registry.delete(arn)
    except InUse:
        # Policies may have been attached since they were noted down.
        for policy in cloud.registry.policies(arn):
            with suppress(NotFound):
                cloud.registry.detach_policy(arn, policy)
    for wait in WAITS[:-1]:
        cloud.clock.sleep(wait)
        with suppress(InUse):
            return cloud.registry.delete(arn)
    cloud.clock.sleep(WAITS[-1])
    return cloud.registry.delete(arn)
