"""Every scenario there is: importing this registers them, in the order of the list."""

from lab.scenarios import alerts, clock, cloud, endings, issuance, protocol, storage

__all__ = ["alerts", "clock", "cloud", "endings", "issuance", "protocol", "storage"]
