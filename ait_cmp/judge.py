"""The entry of `python -m ait_cmp.judge`, which is `ait-cmp judge`."""

from __future__ import annotations

from ait_cmp.__main__ import run

if __name__ == "__main__":
    run("judge")
