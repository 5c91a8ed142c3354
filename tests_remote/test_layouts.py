"""Every layout of dumps and every mapping finds in a bucket what it finds on a disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal

from ait_cmp import dump_data, write_bin
from ait_cmp.api import compare_dumps
from ait_cmp.mapping import MAPPINGS
from ait_cmp.source import open_source, tensor_names
from ait_cmp.values.errors import PairError
from tests.formats import save_npy, save_pth
from tests.test_layouts import DUMPS, dumped, made
from tests.test_mappings import WISHES
from tests_remote.conftest import BUCKET
from tests_remote.store import S3Server

ROOT = f"s3://{BUCKET}"


def table(folder: str, **settings: Any) -> pl.DataFrame:
    """The rows of a compare below `folder`, as if that had no name."""
    found = compare_dumps(executor="serial", **settings).to_polars()
    text = [name for name, kind in found.schema.items() if kind == pl.String]
    return found.with_columns(pl.col(text).str.replace_all(folder, "", literal=True))


def genuine(folder: Path) -> Path:
    """`folder`, with a tensor in each file that only looked as if it had one."""
    saves = {".bin": write_bin, ".npy": save_npy, ".pt": save_pth, ".pth": save_pth}
    for path in map(Path, sorted(dumped(folder))):
        try:
            if not tensor_names(str(path)):
                open_source(str(path))
        except PairError:
            saves[path.suffix](path, torch.arange(6.0))
    return folder


@pytest.mark.parametrize("dump", DUMPS)
def test_a_layout_is_that_of_a_disk(dump: str, s3: S3Server, tmp_path: Path) -> None:
    golden, my = (genuine(made(dump, tmp_path / side)) for side in ("golden", "my"))
    s3.upload(tmp_path, BUCKET)
    local = table(str(tmp_path), golden_path=golden, my_path=my, mapping="tree")
    remote = table(ROOT, golden_path=f"{ROOT}/golden", my_path=f"{ROOT}/my", mapping="tree")
    assert_frame_equal(remote, local)
    assert remote["status"].unique().to_list() == ["pass"], remote["cmp_fail_reason"].to_list()


@pytest.mark.parametrize("kind", MAPPINGS)
def test_a_mapping_is_that_of_a_disk(kind: str, s3: S3Server, tmp_path: Path) -> None:
    wish = WISHES[kind](tmp_path)
    s3.upload(tmp_path, BUCKET)
    more: dict[str, Any] = {"mapping": kind}
    if wish.rules:
        more["mapping_rules"] = [{"golden": one.golden.pattern, "my": one.my} for one in wish.rules]
    if wish.names:
        more["mapping_names"] = [{"golden": one.golden, "my": one.my} for one in wish.names]
    here, there = str(tmp_path), ROOT
    local = table(here, golden_path=wish.golden_path, my_path=wish.my_path, **more)
    if wish.my_path is None and kind != "pairs":  # recorded with the paths of the disk
        more["path_map"] = {here: there}
    remote = table(
        there,
        golden_path=wish.golden_path.replace(here, there),
        my_path=wish.my_path and wish.my_path.replace(here, there),
        **more,
    )
    assert_frame_equal(remote, local)
    assert remote["status"].unique().to_list() == ["pass"], remote["cmp_fail_reason"].to_list()
    assert not any(here in path for path in remote["my_data_path"])


def test_a_list_may_name_files_of_several_places(s3: S3Server, tmp_path: Path) -> None:
    (golden, my), entries = (tmp_path / "g", tmp_path / "m"), []
    for folder in (golden, my):
        genuine(made("folder", folder))
    s3.upload(my, BUCKET, "m/")
    for number, name in enumerate(("a/y.pt", "q.pth")):
        entries.append(f"{number},{golden / name},{ROOT}/m/{name}")
    (tmp_path / "pairs.csv").write_text("\n".join(["data_id,golden,my", *entries]))
    found = table("", golden_path=tmp_path / "pairs.csv")
    assert found["status"].to_list() == ["pass"] * 2
    assert found["my_data_path"].to_list() == [f"{ROOT}/m/a/y.pt", f"{ROOT}/m/q.pth"]


def test_what_a_bucket_lacks_is_not_read_from_a_disk(s3: S3Server, tmp_path: Path) -> None:
    for name in ("kept", "lost"):
        write_bin(tmp_path / "my" / f"{name}.bin", torch.ones(4))
        dump_data(0, name, torch.ones(4), tmp_path / "my" / f"{name}.bin", tmp_path)
    s3.upload(tmp_path, BUCKET)
    (lost,) = (one for one in s3.keys(BUCKET) if one.endswith("lost_tensor.pth"))
    s3.client.delete_object(Bucket=BUCKET, Key=lost)
    found = table("", golden_path=ROOT, my_path=f"{ROOT}/my")  # the root is a folder as any other
    assert found["reason"].to_list() == [None, "GOLDEN_MISSING"], found["cmp_fail_reason"]
