"""The key and signing algorithms that AWS IoT and the peer's protocol know, by name.

The names are those of the peer's configuration (its README, "Configuration"), which
our settings share.
"""

from __future__ import annotations

SAME = "same"
AUTOMATIC = "auto"

RSA_2048 = "RSA-2048"
RSA_3072 = "RSA-3072"
ECDSA_P256 = "ECDSA-P256"
ECDSA_P384 = "ECDSA-P384"
ECDSA_P521 = "ECDSA-P521"

#: Keys that AWS IoT takes in a CSR, and that we can therefore rotate to.
KEY_ALGORITHMS = (RSA_2048, RSA_3072, ECDSA_P256, ECDSA_P384, ECDSA_P521)

RSA_SIGNING_ALGORITHMS = (
    "SHA256WITHRSA",
    "SHA384WITHRSA",
    "SHA512WITHRSA",
    "SHA256WITHRSAANDMGF1",
    "SHA384WITHRSAANDMGF1",
    "SHA512WITHRSAANDMGF1",
)
ECDSA_SIGNING_ALGORITHMS = ("ECDSA-WITH-SHA256", "ECDSA-WITH-SHA384", "ECDSA-WITH-SHA512")
SIGNING_ALGORITHMS = RSA_SIGNING_ALGORITHMS + ECDSA_SIGNING_ALGORITHMS


def signs_with(signing_algorithm: str, key_algorithm: str) -> bool:
    """Whether a key of ``key_algorithm`` can sign with ``signing_algorithm``."""
    if key_algorithm.startswith("RSA"):
        return signing_algorithm in RSA_SIGNING_ALGORITHMS
    return signing_algorithm in ECDSA_SIGNING_ALGORITHMS
