"""What ends a build: one error, whose message a person can act on."""

from __future__ import annotations


class BuildError(Exception):
    """Why nothing was built, and what to do about it; what an earlier build made is untouched."""
