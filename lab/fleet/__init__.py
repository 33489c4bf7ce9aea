"""A fleet in simulated time: thousands of devices, the real backend, and AWS with its quotas.

What decides is real: the component's daemon on each device, and the functions of ``cloud/``
as the template wires them. What it meets is made of memory: the registry and the other
services, the nuclei, the network, and time.
"""
