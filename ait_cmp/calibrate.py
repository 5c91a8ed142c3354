"""The entry of `python -m ait_cmp.calibrate`, which is `ait-cmp calibrate`."""

from __future__ import annotations

import sys

from ait_cmp.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["calibrate", *sys.argv[1:]]))
