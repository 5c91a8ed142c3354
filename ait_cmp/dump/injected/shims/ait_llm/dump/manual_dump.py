"""The original's import, `from ait_llm.dump.manual_dump import dump_data`, in a dumped script."""

from __future__ import annotations

from ait_cmp.dump.data import dump_data

__all__ = ["dump_data"]
