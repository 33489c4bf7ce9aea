"""Keeps the certificates of a Greengrass v2 core device alive."""

__version__ = "0.1.0"
COMPONENT_NAME = "community.greengrass.CertificateKeeper"
