"""A Greengrass core and an AWS IoT account on one machine, on loopback only.

Nothing here ships to a device. ``python -m lab --help`` says what it can show.
"""

import sys
from pathlib import Path

# The lab runs from the source tree, beside what it shows.
_PROJECT = Path(__file__).resolve().parents[1]
for _source in (str(_PROJECT / "src"), str(_PROJECT / "cloud")):
    if _source not in sys.path:
        sys.path.insert(0, _source)
