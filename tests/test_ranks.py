"""A process is one run: its rank is on record, and runs pair by it, whichever started first."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ait_cmp
from ait_cmp.__main__ import main
from ait_cmp.dump import rank_file
from ait_cmp.dump_tree import RANK_FILE, RankName
from ait_cmp.mapping.layouts.ranks import RankDump, pair_ranks, rank_cells
from ait_cmp.values.process import ProcessRecord

# Two steps of a model whose weights are those of the rank, so that a wrong pair fails.
SCRIPT = """
import os, sys, torch
from torch import nn
if sys.argv[1:] == ["gloo"]:
    torch.distributed.init_process_group("gloo")
rank = int(os.environ.get("RANK", os.environ.get("WEIGHTS", 0)))
torch.manual_seed(100 + rank)
model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
torch.manual_seed(0)
with torch.no_grad():
    model(torch.randn(2, 4))
"""


def launch(
    folder: Path,
    ranks: Sequence[int],
    *,
    world_size: int = 2,
    words: Sequence[str] = (),
    **more: str,
) -> Path:
    """Dump SCRIPT run as these ranks, one process after the other or, with gloo, together."""
    folder.mkdir()
    script = folder / "script.py"
    script.write_text(SCRIPT)
    dump = [sys.executable, "-m", "ait_cmp.ait", "llm", "dump", "-o", str(folder), "--exec"]
    running = []
    for rank in ranks:
        told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world_size}
        environ = {**os.environ, **{key: str(value) for key, value in told.items()}, **more}
        command = " ".join([sys.executable, str(script), *words])
        running.append(subprocess.Popen([*dump, command], env=environ))
        if not words:
            assert running[-1].wait(60) == 0
    assert [one.wait(60) for one in running] == [0] * len(ranks)
    return folder / "ait_dump" / "tensors"


def records(tensors: Path) -> list[dict[str, object]]:
    return [json.loads((run / RANK_FILE).read_text()) for run in sorted(tensors.glob("*"))]


def report(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "cmp_report.parquet")


def test_runs_pair_by_rank_whichever_started_first(tmp_path: Path) -> None:
    golden, my = launch(tmp_path / "g", [0, 1]), launch(tmp_path / "m", [1, 0])
    told = {(one["rank"], one["local_rank"], one["world_size"]) for one in records(my)}
    assert told == {(0, 0, 2), (1, 1, 2)}
    settings = [f"golden_path={golden}", f"my_path={my}", "mapping=tree"]
    assert main([*settings, f"output={tmp_path}"]) == 0
    found = report(tmp_path)
    assert found["rank"].unique().sort().to_list() == ["0", "1"]
    # Another compare of the same runs has the same rows, by rank, token and data_id.
    assert main([*settings[::-1], f"output={tmp_path / 'again'}"]) == 0
    keys = ["rank", "token_id", "data_id"]
    assert found.join(report(tmp_path / "again"), on=keys, validate="1:1").height == found.height


def test_torch_distributed_is_asked_before_the_environment(tmp_path: Path) -> None:
    # A launcher of its own may leave RANK alone: here each process is told only where to meet.
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, torch\n"
        "from ait_cmp import dump_data\n"
        "dump_data(0, 'before', torch.ones(2), 'm.bin', sys.argv[2])\n"
        "torch.distributed.init_process_group('gloo', rank=int(sys.argv[1]), world_size=2,"
        " init_method=f'file://{sys.argv[2]}/store')\n"
        "dump_data(0, 'after', torch.ones(2), 'm.bin', sys.argv[2])\n"
    )
    words = [sys.executable, str(script)]
    running = [subprocess.Popen([*words, str(rank), str(tmp_path)]) for rank in (0, 1)]
    assert [one.wait(60) for one in running] == [0, 0]
    found = [json.loads(path.read_text()) for path in tmp_path.rglob(RANK_FILE)]
    assert sorted(one["rank"] for one in found) == [0, 1]
    assert [one["world_size"] for one in found] == [2, 2]


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, (None, None, None)),
        ({"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4"}, (3, 1, 4)),
        ({"RANK": "3"}, (3, None, None)),
        ({"RANK": "three", "WORLD_SIZE": "4"}, (None, None, None)),
        ({"OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_SIZE": "8"}, (2, None, 8)),
        ({"SLURM_PROCID": "5", "SLURM_LOCALID": "1", "SLURM_NTASKS": "6"}, (5, 1, 6)),
        # torchrun below srun: who is nearest to the script says it.
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "2", "RANK": "7", "WORLD_SIZE": "8"}, (7, None, 8)),
    ],
)
def test_what_launchers_say(environ: dict[str, str], expected: tuple[int | None, ...]) -> None:
    assert rank_file._ranks(environ) == expected


@pytest.mark.parametrize("text", ["", "{", "[]", "1", '{"rank": 1}', "[" * 9999, '{"process": 1}'])
def test_what_is_no_record(text: str) -> None:
    assert ProcessRecord.from_json(text) is None


def test_odd_values_of_a_record_are_none() -> None:
    size = "9" * 5000
    text = '{"process": "a", "started": "x", "rank": -1, "local_rank": true, "world_size": SIZE}'
    text = text.replace("SIZE", size)
    assert ProcessRecord.from_json(text) == ProcessRecord("a")
    whole = ProcessRecord("a", 15, 1, 0, 2)
    assert ProcessRecord.from_json(whole.to_json()) == whole


# -- several devices


def save(folder: Path, name: str, value: float) -> None:
    path = folder / "0" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(torch.full((3,), value), path.with_suffix(".pth"))


def record(folder: Path, process: str, rank: int | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RANK_FILE).write_text(ProcessRecord(process, rank=rank).to_json())


@pytest.mark.parametrize("recorded", [True, False])
def test_a_process_of_two_devices_is_one_run(recorded: bool, tmp_path: Path) -> None:
    """Layers are spread over devices: what is on either has its row, in the order of the calls."""
    layers = [f"0_Model/{number}_layers.{number}/after/outtensor0" for number in range(4)]
    for number, layer in enumerate(layers):
        save(tmp_path / "g" / "ait_dump/tensors/-1_7", layer, number)
        # Back and forth, as with a head that shares its weights with the embedding.
        save(tmp_path / "m" / f"ait_dump/tensors/{number % 2}_99", layer, number)
    if recorded:
        for device in (0, 1):
            record(tmp_path / "m" / f"ait_dump/tensors/{device}_99", "one", 0)
    for golden, my in (("g", "m"), ("m", "g")):
        run = ait_cmp.compare_dumps(golden_path=tmp_path / golden, my_path=tmp_path / my)
        assert run.passed
        assert [row.pair.data_id for row in run.rows] == layers
        assert [row.pair.order for row in run.rows] == [0, 1, 2, 3]
        assert {row.pair.run for row in run.rows} == {0}
    assert [row.pair.dump for row in run.rows] == ["0_99", "1_99"] * 2


def test_processes_of_one_pid_stay_apart(tmp_path: Path) -> None:
    """Containers on one shared folder: the same PID on every device, and the same names."""
    for side in "gm":
        for device in (0, 1):
            save(tmp_path / side / f"ait_dump/tensors/{device}_1", "x", device)
    run = ait_cmp.compare_dumps(golden_path=tmp_path / "g", my_path=tmp_path / "m")
    assert run.passed
    assert [row.pair.rank for row in run.rows] == ["device 0", "device 1"]


@pytest.mark.parametrize("mapping", ["metadata", "tree"])
def test_dump_data_on_two_devices_is_one_run(mapping: str, tmp_path: Path) -> None:
    """Two metadata.json of one process; with mapping=tree also against another such dump."""
    for side, pid in (("g", 5), ("m", 6)):
        for device in (0, 1):
            folder = tmp_path / side / f"ait_dump/{pid}_{device}/golden_tensor"
            record(folder, side, 0)
            entries = {}
            for token in (0, 1):
                file = folder / str(token) / f"x{device}_tensor.pth"
                file.parent.mkdir()
                torch.save(torch.full((3,), token + device), file)
                entries[str(token)] = [
                    str(file),
                    str(file).replace("/g/", "/m/").replace("/5_", "/6_"),
                ]
            (folder / "metadata.json").write_text(json.dumps({f"x{device}": entries}))
    my = tmp_path / "m" if mapping == "tree" else None
    run = ait_cmp.compare_dumps(golden_path=tmp_path / "g", mapping=mapping, my_path=my)
    assert run.passed
    found = [(row.pair.token_id, row.pair.data_id, row.pair.dump) for row in run.rows]
    assert found == [(0, "x0", "5_0"), (0, "x1", "5_1"), (1, "x0", "5_0"), (1, "x1", "5_1")]
    assert [row.pair.order for row in run.rows] == [0, 1, 2, 3]
    assert {row.pair.rank for row in run.rows} == {"0"}


# -- who is compared with whom


def dump(number: int | None, pid: int, device: int = -1, started: int = 0) -> RankDump:
    record = ProcessRecord(f"p{pid}", started, number) if number is not None or started else None
    return RankDump(str(pid), RankName(device, pid), (), "", record)


def names(pairs: Sequence[tuple[RankDump | None, RankDump | None]]) -> list[tuple[str, str]]:
    return [(golden.name if golden else "", my.name if my else "") for golden, my in pairs]


@settings(max_examples=50)
@given(st.permutations(range(4)), st.permutations(range(4)))
def test_any_order_of_starts(golden: list[int], my: list[int]) -> None:
    sides = [[dump(rank, 100 + place) for place, rank in enumerate(one)] for one in (golden, my)]
    pairs = pair_ranks(golden=sides[0], my=sides[1])
    assert [golden and golden.number for golden, _ in pairs] == [0, 1, 2, 3]
    assert all(golden and my and golden.number == my.number for golden, my in pairs)
    assert rank_cells(pairs) == ["0", "1", "2", "3"]


def test_runs_of_one_rank_pair_in_the_order_of_their_starts() -> None:
    golden = [dump(0, 9, started=1), dump(0, 3, started=2), dump(1, 5, started=1)]
    my = [dump(1, 4, started=1), dump(0, 8, started=7), dump(0, 2, started=9)]
    pairs = pair_ranks(golden=golden, my=my)
    assert names(pairs) == [("9", "8"), ("3", "2"), ("5", "4")]
    assert rank_cells(pairs) == ["0", "0#1", "1"]


def test_a_rank_without_its_like_stands_alone() -> None:
    pairs = pair_ranks(golden=[dump(0, 1), dump(1, 2)], my=[dump(1, 3), dump(2, 4)])
    assert names(pairs) == [("1", ""), ("2", "3"), ("", "4")]
    assert rank_cells(pairs) == ["0", "1", "2"]


def test_ranks_against_dumps_without(caplog: pytest.LogCaptureFixture) -> None:
    """By device where each has its own; else a guess, that is said; and none where they differ."""
    ranked = [dump(rank, 20 - rank) for rank in range(2)]
    assert names(pair_ranks(golden=ranked, my=[dump(None, 1), dump(None, 2)])) == [
        ("20", "1"),
        ("19", "2"),
    ]
    assert "the dumps of my have no ranks: in the order of their starts" in caplog.text
    caplog.clear()
    devices = [dump(rank, 20 - rank, device=rank) for rank in range(2)]
    plain = [dump(None, 7, device=1), dump(None, 8, device=0)]
    assert names(pair_ranks(golden=plain, my=devices)) == [("8", "20"), ("7", "19")]
    assert not caplog.records
    three = [dump(None, pid) for pid in range(3)]
    pairs = pair_ranks(golden=three, my=ranked)
    assert all(golden is None or my is None for golden, my in pairs)
    assert "the dumps of golden have no ranks and are not as many" in caplog.text


def test_older_dumps_pair_as_they_did() -> None:
    pairs = pair_ranks(golden=[dump(None, 9), dump(None, 3)], my=[dump(None, 4), dump(None, 8)])
    assert names(pairs) == [("3", "4"), ("9", "8")]
    assert rank_cells(pairs) == ["", "#1"]


def test_a_folder_that_takes_no_record_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: object) -> None:
        raise OSError("full")

    monkeypatch.setattr(Path, "write_text", fails)
    rank_file.write_rank(str(tmp_path))
    assert not list(tmp_path.iterdir())
