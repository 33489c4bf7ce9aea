"""Values behave as the standard library's frozen dataclasses do."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from dataclasses import FrozenInstanceError, asdict, field, fields, replace
from typing import Any

import pytest

from rotation_protocol.values import dataclass


@dataclass(frozen=True)
class Ours:
    """With everything that is used here."""

    name: str
    number: int = 3
    secret: str = field(default="s", repr=False)
    noise: float = field(default=0.0, compare=False)
    many: dict[str, int] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        if self.number < 0:
            raise ValueError("negative")


Theirs: Any = dataclasses.dataclass(frozen=True)(
    type(
        "Ours",
        (),
        {
            "__annotations__": dict(Ours.__annotations__),
            "__qualname__": "Ours",
            "number": 3,
            "secret": field(default="s", repr=False),
            "noise": field(default=0.0, compare=False),
            "many": field(default_factory=dict, compare=False),
        },
    )
)


@dataclass(frozen=True)
class Other:
    """Of another type, with equal fields."""

    name: str
    number: int = 3


@dataclass(frozen=True)
class Another:
    """The same."""

    name: str
    number: int = 3


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"name": "a"}, {"name": "a"}),
        ({"name": "a"}, {"name": "b"}),
        ({"name": "a"}, {"name": "a", "number": 4}),
        ({"name": "a"}, {"name": "a", "secret": "t"}),
        ({"name": "a"}, {"name": "a", "noise": 1.0}),
        ({"name": "a"}, {"name": "a", "many": {"x": 1}}),
    ],
)
def test_equal_and_hashed_as_theirs(one: dict[str, Any], two: dict[str, Any]) -> None:
    """Fields that are not compared do not count."""
    equal = Theirs(**one) == Theirs(**two)
    assert (Ours(**one) == Ours(**two)) is equal
    assert (Ours(**one) != Ours(**two)) is not equal
    assert hash(Ours(**one)) == hash(Theirs(**one))


def test_types_are_told_apart() -> None:
    """Two types with equal fields are never equal."""
    one: Any = Other("a")
    assert one == Other("a")
    assert one != Another("a")
    assert one != ("a", 3)


def test_shown_as_theirs() -> None:
    """What is not to be shown is not."""
    assert repr(Ours("a", many={"x": 1})) == repr(Theirs("a", many={"x": 1}))
    assert "secret" not in repr(Ours("a"))


def test_nothing_changes() -> None:
    """No field is set again, none is added, and none removed."""
    one: Any = Ours("a")
    for name in ("name", "number", "many", "unknown"):
        with pytest.raises(FrozenInstanceError):
            setattr(one, name, "b")
    with pytest.raises(FrozenInstanceError):
        del one.name
    assert one == Ours("a")


def test_the_tools_of_dataclasses() -> None:
    """``replace``, ``fields`` and ``asdict`` work, and copies are equal."""
    one = Ours("a", many={"x": 1})
    assert replace(one, number=4) == Ours("a", 4)
    assert [each.name for each in fields(one)] == [each.name for each in fields(Theirs)]
    assert asdict(one) == asdict(Theirs("a", many={"x": 1}))
    assert copy.deepcopy(one) == one == pickle.loads(pickle.dumps(one))
    with pytest.raises(ValueError, match="negative"):
        replace(one, number=-1)
