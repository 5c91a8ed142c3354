"""The entry of `python -m ait_cmp.dump`, which is `ait-cmp dump`."""

from __future__ import annotations

from ait_cmp.__main__ import run

if __name__ == "__main__":
    run("dump")
