"""Every scenario there is: importing this registers them, in the order of the list."""

from lab.scenarios import protocol

__all__ = ["protocol"]
