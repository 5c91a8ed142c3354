"""The entry of `python -m ait_cmp.diff`, which is `ait-cmp diff`."""

from __future__ import annotations

from ait_cmp.__main__ import run

if __name__ == "__main__":
    run("diff")
