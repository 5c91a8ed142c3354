"""The entry of `python -m ait_cmp.dump`."""

from __future__ import annotations

import sys

from ait_cmp.commands.dump import main

if __name__ == "__main__":
    sys.exit(main())
