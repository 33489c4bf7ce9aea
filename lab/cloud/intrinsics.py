"""CloudFormation's YAML tags and intrinsic functions, for what a template here says.

``load`` reads the text; ``Resolver.resolve`` gives a value as a deployment would. A
function or a reference that is not known is a TemplateError that names it.
(AWS CloudFormation User Guide, "Intrinsic function reference".)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from lab.yaml_loader import SafeLoader

_NO_VALUE = object()  # AWS::NoValue: the property is not there


class TemplateError(ValueError):
    """The template says something that is not understood here; names what."""


class _Loader(SafeLoader):
    """A safe loader that takes !Tags for functions."""


def _tagged(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    elif isinstance(node, yaml.MappingNode):
        value = loader.construct_mapping(node, deep=True)
    else:
        raise TemplateError(f"!{suffix} of nothing")
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _tagged)


def load(text: str) -> dict[str, Any]:
    """The template as CloudFormation's JSON would have it. Raises TemplateError."""
    try:
        template = yaml.load(text, Loader=_Loader)  # noqa: S506  (a SafeLoader)
    except yaml.YAMLError as error:
        raise TemplateError(f"not YAML: {error}") from None
    if not isinstance(template, dict):
        raise TemplateError("no template")
    return template


class Resolver:
    """Resolves values with the parameters of a deployment."""

    def __init__(
        self,
        references: Mapping[str, Any],
        conditions: Mapping[str, Any],
        resource: Callable[[str], str | None],
        attribute: Callable[[str, str], str],
    ) -> None:
        """``references`` are parameters and pseudo parameters, ``conditions`` the template's.

        ``resource`` gives what Ref of a resource is, or None for no resource; ``attribute``
        what GetAtt gives.
        """
        self._references = references
        self._conditions = conditions
        self._resource = resource
        self._attribute = attribute

    def resolve(self, value: Any) -> Any:
        """The value with every function in it replaced. Raises TemplateError."""
        if isinstance(value, list):
            resolved = [self.resolve(item) for item in value]
            return [item for item in resolved if item is not _NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            name, argument = next(iter(value.items()))
            if name == "Ref" or str(name).startswith("Fn::"):
                return self._call(name.removeprefix("Fn::"), argument)
        pairs = ((name, self.resolve(item)) for name, item in value.items())
        return {name: item for name, item in pairs if item is not _NO_VALUE}

    def holds(self, condition: str) -> bool:
        """Whether a condition of the template is true. Raises TemplateError."""
        if condition not in self._conditions:
            raise TemplateError(f"condition {condition}")
        return self._truth(self._conditions[condition])

    def _call(self, name: str, argument: Any) -> Any:
        match name:
            case "Ref":
                return self._reference(argument)
            case "GetAtt":
                if not isinstance(argument, list) or len(argument) != 2:
                    raise TemplateError(f"GetAtt {argument}")
                return self._attribute(argument[0], argument[1])
            case "Sub":
                return self._substituted(argument)
            case "Join":
                separator, parts = argument
                return str(separator).join(str(part) for part in self.resolve(parts))
            case "Select":
                index, options = argument
                return self.resolve(options)[int(self.resolve(index))]
            case "Split":
                separator, text = argument
                return str(self.resolve(text)).split(separator)
            case "If":
                condition, yes, no = argument
                return self.resolve(yes if self.holds(condition) else no)
            case "Equals" | "And" | "Or" | "Not":
                return self._truth({f"Fn::{name}": argument})
        raise TemplateError(f"function {name}")

    def _truth(self, condition: Any) -> bool:
        if not isinstance(condition, dict) or len(condition) != 1:
            raise TemplateError(f"condition {condition}")
        name, argument = next(iter(condition.items()))
        match name:
            case "Condition":
                return self.holds(argument)
            case "Fn::Equals":
                first, second = (self.resolve(side) for side in argument)
                return str(first) == str(second)
            case "Fn::Not":
                return not self._truth(argument[0])
            case "Fn::And":
                return all(self._truth(each) for each in argument)
            case "Fn::Or":
                return any(self._truth(each) for each in argument)
        raise TemplateError(f"condition {name}")

    def _reference(self, name: Any) -> Any:
        if name == "AWS::NoValue":
            return _NO_VALUE
        if name in self._references:
            return self._references[name]
        found = self._resource(name)
        if found is None:
            raise TemplateError(f"Ref {name}")
        return found

    def _substituted(self, argument: Any) -> str:
        text, own = argument if isinstance(argument, list) else (argument, {})
        own = self.resolve(own)

        def replaced(found: re.Match[str]) -> str:
            name = found[1].strip()
            if name.startswith("!"):
                return f"${{{name[1:]}}}"
            if name in own:
                return str(own[name])
            if "." in name:
                return self._attribute(*name.split(".", 1))
            return str(self._reference(name))

        return re.sub(r"\$\{([^}]*)\}", replaced, text)
