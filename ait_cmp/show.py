"""The entry of `python -m ait_cmp.show`, which is `ait-cmp show`."""

from __future__ import annotations

from ait_cmp.__main__ import run

if __name__ == "__main__":
    run("show")
