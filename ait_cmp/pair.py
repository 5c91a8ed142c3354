"""The entry of `python -m ait_cmp.pair`, which is `ait-cmp pair`."""

from __future__ import annotations

import sys

from ait_cmp.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["pair", *sys.argv[1:]]))
