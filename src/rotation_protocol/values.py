"""Values that nobody changes: ``@dataclass(frozen=True)``, made in a third of the time.

The standard library compiles seven methods for each class when it is imported. There are more
than a hundred classes here, so on a small device that was a third of the time from the launch
to the first subscription. Here only ``__init__`` is compiled; the other methods are the same
functions for all classes, and do what the standard library's do. For type checkers it is the
standard library's own decorator.
"""

from __future__ import annotations

import dataclasses
from dataclasses import FrozenInstanceError, fields
from typing import TYPE_CHECKING, Any, Callable

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(*, frozen: bool) -> Callable[[type], type]:
        """See dataclasses.dataclass, which whatever is not frozen is left to."""
        if not frozen:
            return dataclasses.dataclass()
        made = dataclasses.dataclass(eq=False, repr=False)

        def decorate(cls: type) -> type:
            for name, method in _SHARED.items():
                if name not in vars(cls):
                    setattr(cls, name, method)
            return made(cls)

        return decorate


def _eq(self: Any, other: object) -> Any:
    if type(self) is not type(other):
        return NotImplemented
    return _compared(self) == _compared(other)


def _hash(self: Any) -> int:
    return hash(_compared(self))


def _repr(self: Any) -> str:
    shown = (f"{each.name}={getattr(self, each.name)!r}" for each in fields(self) if each.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _setattr(self: Any, name: str, value: object) -> None:
    """Each field is set once, by ``__init__``."""
    known = vars(self)
    if name in known or name not in self.__dataclass_fields__:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")
    known[name] = value


def _delattr(self: Any, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _compared(value: Any) -> tuple[object, ...]:
    return tuple(getattr(value, each.name) for each in fields(value) if each.compare)


_SHARED = {
    "__eq__": _eq,
    "__hash__": _hash,
    "__repr__": _repr,
    "__setattr__": _setattr,
    "__delattr__": _delattr,
}
