"""`cmp_report.csv` and `cmp_report.parquet`."""

from __future__ import annotations

from pathlib import Path

import polars as pl

__all__ = ["write_csv", "write_parquet"]


def write_csv(frame: pl.DataFrame, path: Path) -> None:
    """Numbers in full: the shortest text that reads back as the same float64."""
    frame.write_csv(path)


def write_parquet(frame: pl.DataFrame, path: Path) -> None:
    """The exact report, with true types."""
    frame.write_parquet(path)
