"""`.safetensors` files that lie."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from ait_cmp.values.errors import Reason
from tests.formats import refusal


def safetensors_file(
    header: object, data: bytes = bytes(40), *, length: int | None = None
) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def member(**changes: object) -> dict[str, Any]:
    return {"a": {"dtype": "F32", "shape": [10], "data_offsets": [0, 40]} | changes}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"short",
        safetensors_file(member(), length=2**63),  # a header longer than the file
        safetensors_file(b"{"),
        safetensors_file(b"\xff"),
        safetensors_file(b"[" * 100_000),
        safetensors_file([]),
        safetensors_file({"a": 5}),
        safetensors_file({"a": {}}),
        safetensors_file(member(), bytes(39)),  # data cut off
        safetensors_file(member(shape=[11])),
        safetensors_file(member(shape=[-2, -5])),  # whose product agrees
        safetensors_file(member(shape=[2.0, 5.0])),
        safetensors_file(member(shape="ab")),
        safetensors_file(member(shape=10)),
        safetensors_file(member(shape=[True] * 3 + [10])),
        safetensors_file(member(shape=[1] * 70 + [10])),  # more dimensions than an array has
        safetensors_file(member(shape=[0, 10**30], data_offsets=[0, 0])),
        safetensors_file(member(data_offsets=[-40, 0])),
        safetensors_file(member(data_offsets=[0.0, 40.0])),
        safetensors_file(member(data_offsets=[40, 0])),
        safetensors_file(member(data_offsets=[1, 41])),
        safetensors_file(member(data_offsets=[0])),
        safetensors_file(member(dtype=["F32"])),
    ],
)
def test_safetensors_that_lie(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "t.safetensors").write_bytes(content)
    assert refusal(tmp_path / "t.safetensors").reason is Reason.SAFETENSORS_MALFORMED


def test_safetensors_without_a_tensor(tmp_path: Path) -> None:
    (tmp_path / "t.safetensors").write_bytes(safetensors_file({"__metadata__": {}}, b""))
    assert refusal(tmp_path / "t.safetensors").reason is Reason.NOT_A_TENSOR
