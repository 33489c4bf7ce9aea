"""Every scenario there is: importing this registers them, in the order of the list."""

from lab.scenarios import cloud, protocol, storage

__all__ = ["cloud", "protocol", "storage"]
