"""The entry of `python -m ait_cmp.calibrate`; see `ait_cmp.commands.calibrate`."""

from __future__ import annotations

import sys

from ait_cmp.commands.calibrate import main

if __name__ == "__main__":
    sys.exit(main())
