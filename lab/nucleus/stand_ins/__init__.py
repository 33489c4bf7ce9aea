"""The commands of a device's operating system that the component calls: systemctl,
systemd-run and ss, answered by the lab.

``folder`` puts them on the PATH, ``client`` runs in each of them, and ``wire`` is what they
say to the device's ``service_manager``.
"""
