"""The decisions of the cloud's side of a rotation, free of boto3 but for ``aws.py``."""
