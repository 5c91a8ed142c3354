"""Every format, small and large, and every order of elements, read by ranges as from a disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ait_cmp.engine.adapters import adapt
from ait_cmp.files import open_file, state_of
from ait_cmp.source import open_source, tensor_names
from ait_cmp.values.location import parse_steps
from tests.formats import WAYS, Way
from tests_remote.conftest import BUCKET
from tests_remote.store import S3Server

ROOT = f"s3://{BUCKET}"
LARGE = (64, 5000)  # more than is read at opening
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


@every_way
@pytest.mark.parametrize("shape", [(0,), (3, 4), LARGE])
def test_a_format_is_that_of_a_disk(
    way: Way, shape: tuple[int, ...], s3: S3Server, tmp_path: Path
) -> None:
    path = way.file(tmp_path, torch.randn(shape))
    s3.upload(tmp_path, BUCKET)
    local, remote = open_source(str(path)), open_source(f"{ROOT}/{path.name}")
    assert (remote.dtype, remote.shape, remote.layout) == (local.dtype, local.shape, local.layout)
    end = local.elements
    for start, stop in [(0, end), (end // 3, end // 2), (end, end)]:
        assert np.array_equal(remote.read(start, stop), local.read(start, stop))
    assert remote.states == (state_of(f"{ROOT}/{path.name}"),)


@every_way
def test_many_tensors_of_one_file(way: Way, s3: S3Server, tmp_path: Path) -> None:
    if way.save_many is None:
        pytest.skip("holds one tensor")
    path = tmp_path / f"t{way.suffix}"
    way.save_many(path, {f"n{number}": torch.randn(20_000) for number in range(20)})
    s3.upload(tmp_path, BUCKET)
    names = tensor_names(str(path)) or []
    assert tensor_names(f"{ROOT}/{path.name}") == names
    for name in names:
        local, remote = (open_source(f"{one}::{name}") for one in (path, f"{ROOT}/{path.name}"))
        assert np.array_equal(remote.read(0, 20_000), local.read(0, 20_000))


@pytest.mark.parametrize(
    "steps",
    [
        "slice(3:9)",
        "slice(:, 10:20)",
        "transpose(0, 1)",
        "transpose(0, 1) | slice(7:5000)",
        "slice(:, 100:4000) | transpose(0, 1)",
        "reshape(5000, 64)",
        "drop(1, 3:7)",
        "select(1, 17)",
    ],
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_adapter_sees_what_it_sees_on_a_disk(
    steps: str, order: str, s3: S3Server, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal(LARGE, np.float32)
    np.save(tmp_path / "t.npy", np.asfortranarray(values) if order == "F" else values)
    s3.upload(tmp_path, BUCKET)
    here, there = (
        adapt([open_source(f"{root}/t.npy")], parse_steps(steps)) for root in (tmp_path, ROOT)
    )
    assert there.shape == here.shape
    for start, stop in [(0, here.elements), (5, here.elements // 2)]:
        assert np.array_equal(there.read(start, stop), here.read(start, stop))


def test_a_tensor_in_another_order_is_copied_once(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ait_cmp.files import parts

    monkeypatch.setattr(parts, "_IN_MEMORY", 1 << 16)  # so that it goes to the disk
    monkeypatch.setattr(parts, "_CHUNK", 1 << 17)
    np.save(tmp_path / "t.npy", np.asfortranarray(np.arange(300_000.0).reshape(300, 1000)))
    s3.upload(tmp_path, BUCKET)
    source = open_source(f"{ROOT}/t.npy")
    values = np.concatenate([source.read(start, start + 1000) for start in range(0, 300_000, 1000)])
    assert np.array_equal(values, np.arange(300_000.0))
    assert sum(one.sent for one in s3.reads()) < 2 * source.elements * 8


def test_ranges_are_those_of_the_file(s3: S3Server) -> None:
    data = np.random.default_rng(0).bytes(9 << 20)
    s3.put(BUCKET, "f", data)
    file = open_file(f"{ROOT}/f")
    for start, length in [(0, 1), (100, 300_000), (1 << 20, 1), (len(data) - 5, 5), (7, 8 << 20)]:
        assert file.read(start, length) == data[start : start + length]
    assert file.copy(3, len(data) - 5)[:] == data[3 : len(data) - 2]


def test_a_large_fractal_is_that_of_a_disk(s3: S3Server, tmp_path: Path) -> None:
    data = np.random.default_rng(0).standard_normal((20, 30, 16, 16)).astype(np.float32)
    head = f"$Version=1.0\n$Object.Count=1\n$Object.Length={data.nbytes}\nformat=29\ndtype=0\n"
    head += f"dims=20,30,16,16\n$Object.data=0,{data.nbytes}\n$End=1\n"
    (tmp_path / "t.bin").write_bytes(head.encode() + data.tobytes())
    s3.upload(tmp_path, BUCKET)
    local, remote = (
        open_source(f"{root}/t.bin").shaped_like((475, 310)) for root in (tmp_path, ROOT)
    )
    for start, stop in [(0, local.elements), (777, 9999)]:
        assert np.array_equal(remote.read(start, stop), local.read(start, stop))
