"""The outside world, one thing a file: disk, nucleus, certificates, clock, log."""
