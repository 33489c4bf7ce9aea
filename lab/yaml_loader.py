"""YAML's safe loader, in C where PyYAML has libyaml: ten times as fast, and the same otherwise.

The template is read twice for each scenario.
"""

from __future__ import annotations

import yaml

if yaml.__with_libyaml__:
    from yaml import CSafeLoader as SafeLoader
else:
    from yaml import SafeLoader  # type: ignore[assignment]  # the same by another class

__all__ = ["SafeLoader"]
