"""The entry of `python -m ait_cmp.fingerprint`, which is `ait-cmp fingerprint`."""

from __future__ import annotations

from ait_cmp.__main__ import run

if __name__ == "__main__":
    run("fingerprint")
