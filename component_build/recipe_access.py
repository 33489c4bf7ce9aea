"""What is wrong with a recipe's accessControl: for either kind of nucleus, with any setting.

Resources must mean the same whether or not the nucleus puts variables in
(``interpolateComponentConfiguration``), so ``*`` is the one wild card. Lite refuses all a
component asks if there is too much of it.

Sources: "Interprocess communication" in the AWS IoT Greengrass developer guide;
``AuthorizationPolicyParser`` of the classic nucleus; nucleus lite 2.6, measured.
"""

from __future__ import annotations

from collections.abc import Iterator

#: What lite holds for one component and one service.
LITE_RESOURCES = 50
LITE_RESOURCE_CHARACTERS = 2700
_POLICY = {"policyDescription": str, "operations": list, "resources": list}
#: Each is a wild card to one nucleus and not to the other, or ends a policy.
_NOT_PLAIN = "+#?{}$"


def access_problems(access: object, component: str) -> Iterator[str]:
    """Each problem of an ``accessControl``, with its place."""
    where = "accessControl"
    if not isinstance(access, dict):
        yield f"{where}: must be a mapping"
        return
    for service, policies in access.items():
        path = f"{where}.{service}"
        if not isinstance(policies, dict):
            yield f"{path}: must be a mapping"
            continue
        resources: list[str] = []
        for name, policy in policies.items():
            yield from _policy(policy, f"{path}.{name}", resources)
            if not str(name).startswith(f"{component}:"):
                yield f"{path}.{name}: must begin with {component}: to be the only one on a device"
        count, characters = len(resources), sum(map(len, resources))
        if count > LITE_RESOURCES or characters > LITE_RESOURCE_CHARACTERS:
            yield (
                f"{path}: {count} resources of {characters} characters; nucleus lite holds "
                f"{LITE_RESOURCES} of {LITE_RESOURCE_CHARACTERS}, and with more refuses all"
            )


def _policy(policy: object, where: str, resources: list[str]) -> Iterator[str]:
    if not isinstance(policy, dict):
        yield f"{where}: must be a mapping"
        return
    for key, kind in _POLICY.items():
        if not isinstance(policy.get(key), kind):
            yield f"{where}.{key}: must be a {'text' if kind is str else 'list'}"
    for key in policy.keys() - _POLICY.keys():
        yield f"{where}.{key}: not a key of it"
    for key in ("operations", "resources"):
        texts = policy.get(key)
        for text in texts if isinstance(texts, list) else []:
            if not isinstance(text, str) or not text:
                yield f"{where}.{key}: must be texts: {text!r}"
            elif key == "resources":
                resources.append(text)
                yield from _resource(text, f"{where}.resources")


def _resource(text: str, where: str) -> Iterator[str]:
    # AWS's own topics begin with $aws/.
    plain = text.removeprefix("$aws/").replace("*", "")
    if odd := sorted({character for character in plain if character in _NOT_PLAIN}):
        yield f"{where}: {text}: use * and no {' '.join(odd)}: the two nuclei differ on it"
