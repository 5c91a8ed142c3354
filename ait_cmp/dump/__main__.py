"""The entry of `python -m ait_cmp.dump`, which is `ait-cmp dump`."""

from __future__ import annotations

import sys

from ait_cmp.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["dump", *sys.argv[1:]]))
