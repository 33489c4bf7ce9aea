"""A Greengrass core and an AWS IoT account on one machine, on loopback only.

Nothing here ships to a device. ``python -m lab --help`` says what it can show.
"""
