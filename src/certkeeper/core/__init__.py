"""What CertKeeper decides: no disk, network, clock, thread, chance or log in here."""
