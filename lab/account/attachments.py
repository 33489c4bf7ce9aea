"""How a certificate may be attached to a thing.

https://docs.aws.amazon.com/iot/latest/developerguide/exclusive-thing.html
"""

NON_EXCLUSIVE, EXCLUSIVE = ATTACHMENT_TYPES = ("NON_EXCLUSIVE_THING", "EXCLUSIVE_THING")
