"""The producer side: what runs inside, or around, the user's model script."""

from __future__ import annotations

from ait_cmp.dump.data import dump_data

__all__ = ["dump_data"]
