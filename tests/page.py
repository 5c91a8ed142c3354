"""The data of a page, read by other means than the page's own code."""

from __future__ import annotations

import base64
import json
import re
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

__all__ = ["Page", "read_page"]

_DATA = re.compile(r'<script type="text/plain" id="data" nonce="\w+">([\w+/=]*)</script>')


@dataclass(frozen=True)
class Page:
    """What a page says, and its rows."""

    said: dict[str, Any]
    table: pl.DataFrame


def read_page(path: Path) -> Page:
    """The page at `path`."""
    (data,) = _DATA.findall(path.read_text(encoding="utf-8"))
    content = zlib.decompress(base64.b64decode(data))
    start = 4 + struct.unpack_from("<I", content)[0]
    said = json.loads(content[4:start])
    columns = []
    for column in said["columns"]:
        columns.append(_column(column, content[start : start + column["bytes"]], said["rows"]))
        start += column["bytes"]
    assert start == len(content)
    return Page(said, pl.DataFrame(columns))


def _column(said: dict[str, Any], content: bytes, rows: int) -> pl.Series:
    planes = [content[rows * plane : rows * (plane + 1)] for plane in range(said["planes"])]
    if said["kind"] == "text":
        texts = [None, *json.loads(content[len(content) - said["texts"] :])]
        codes = [int.from_bytes(one, "little") for one in zip(*planes, strict=True)]
        return pl.Series(said["name"], [texts[code] for code in codes], dtype=pl.String)
    lowest = bytes(8 - said["planes"])  # are zeros
    numbers = [struct.unpack("<d", lowest + bytes(one))[0] for one in zip(*planes, strict=True)]
    column = pl.Series(said["name"], numbers, dtype=pl.Float64).fill_nan(None)
    return column.cast(pl.Int64) if said["whole"] else column
