"""Every scenario there is: importing this registers them, in the order of the list."""

from lab.scenarios import clock, cloud, endings, issuance, protocol, reconciler, storage

__all__ = ["clock", "cloud", "endings", "issuance", "protocol", "reconciler", "storage"]
