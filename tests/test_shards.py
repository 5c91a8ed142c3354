"""One process against several ranks: joined as shapes say, and never so that a fault passes."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ait_cmp
from ait_cmp.__main__ import main
from ait_cmp.dump_tree import RANK_FILE
from ait_cmp.engine.adapters import open_location
from ait_cmp.judging import Status
from ait_cmp.judging.comparison import Row
from ait_cmp.mapping.shards import join_shards
from ait_cmp.results import RunComparison
from ait_cmp.values.errors import Reason, UsageError
from ait_cmp.values.location import Location
from ait_cmp.values.process import ProcessRecord

# A tensor-parallel model: columns, rows (whose results are partial sums until they are reduced),
# norms and a residual stream that every rank has whole. With dump_data, or hooked from outside.
SCRIPT = """
import os, sys, torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from ait_cmp import dump_data

rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
if world > 1:
    store = "file://" + sys.argv[2]
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world)

class Column(nn.Linear):
    def forward(self, x):
        return F.linear(x, self.weight.chunk(world, 0)[rank])

class RowParallel(nn.Linear):
    def forward(self, x):
        return F.linear(x, self.weight.chunk(world, 1)[rank])

class Reduce(nn.Module):
    def forward(self, x):
        y = x.clone()
        if world > 1:
            dist.all_reduce(y)
        return y

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.up = nn.LayerNorm(8), Column(8, 16, bias=False)
        self.down, self.reduce = RowParallel(16, 8, bias=False), Reduce()
    def forward(self, x):
        return x + self.reduce(self.down(torch.tanh(self.up(self.norm(x)))))

torch.manual_seed(0)
model = nn.Sequential(*(Block() for _ in range(3)))
if sys.argv[1] != "hooks":
    for name, module in model.named_modules():
        module.register_forward_hook(
            lambda m, i, o, name=name: dump_data(0, name or "model", o, "m.bin", sys.argv[1])
        )
with torch.no_grad():
    model(torch.randn(2, 3, 8))
if world > 1:
    dist.destroy_process_group()
"""


def run_model(folder: Path, world: int, *, hooked: bool) -> Path:
    """SCRIPT as so many ranks, the last started first; dumped by hooks or by dump_data."""
    folder.mkdir()
    script = folder / "script.py"
    script.write_text(SCRIPT)
    words = [sys.executable, str(script), "hooks" if hooked else str(folder), str(folder / "store")]
    if hooked:
        command = " ".join(words)
        words = [sys.executable, "-m", "ait_cmp.ait", "llm", "dump", "-o", str(folder)]
        words += ["--exec", command]
    running = []
    for rank in reversed(range(world)):
        told = {"RANK": str(rank), "WORLD_SIZE": str(world)}
        running.append(subprocess.Popen(words, env=os.environ | told))
    assert [one.wait(120) for one in running] == [0] * world
    return folder / "ait_dump" / ("tensors" if hooked else "")


@pytest.mark.parametrize(("world", "hooked"), [(4, True), (2, False)])
def test_a_tensor_parallel_run_against_one_process(
    world: int, hooked: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = run_model(tmp_path / "one", 1, hooked=hooked)
    ranks = run_model(tmp_path / "many", world, hooked=hooked)
    for golden, my, side in ((whole, ranks, "my"), (ranks, whole, "golden")):
        run = ait_cmp.compare_dumps(golden_path=golden, my_path=my, mapping="tree")
        assert run.passed
        said = {
            row.pair.paired_by.rpartition("shards: ")[2].partition(" of ")[0] for row in run.rows
        }
        assert said == {"replicas", "concat(2)", "sum()"}
        of_down = [
            row for row in run.rows if "down" in row.pair.data_id and "out" in row.pair.data_id
        ]
        for row in of_down or [row for row in run.rows if row.pair.data_id == "0.down"]:
            assert f"sum() of {side} ranks 0, 1" in row.pair.paired_by
        assert [row.pair.order for row in run.rows] == list(range(len(run.rows)))
    assert "by concat(2)" in caplog.text or caplog.text == ""  # at which level it is told


# -- dumps of given tensors


def write(
    folder: Path,
    tensors: Mapping[str, torch.Tensor],
    rank: int | None,
    world: int = 1,
    token: int = 0,
) -> None:
    """One process, as `ait llm dump` has it."""
    run = folder / "ait_dump" / "tensors" / f"-1_{100 - (rank or 0)}"
    for name, tensor in tensors.items():
        path = run / f"{token}" / f"{name}.pth"
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(tensor.clone(), path)
    record = ProcessRecord(f"{folder}{rank}", 0, rank, rank, world)
    (run / RANK_FILE).write_text(record.to_json())


def compare_many(
    folder: Path,
    wholes: Mapping[str, torch.Tensor],
    parts: Mapping[str, Sequence[torch.Tensor]],
    shards: str = "auto",
) -> RunComparison:
    """Tensors of one process against what ranks have of each."""
    write(folder / "g", wholes, None)
    ranks = len(next(iter(parts.values())))
    for rank in range(ranks):
        write(folder / "m", {name: of[rank] for name, of in parts.items()}, rank, ranks)
    return compare_folders(folder / "g", folder / "m", shards)


def compare_folders(golden: Path, my: Path, shards: str = "auto") -> RunComparison:
    return ait_cmp.compare_dumps(golden_path=golden, my_path=my, mapping="tree", shards=shards)


def compare_shards(
    folder: Path, whole: torch.Tensor, parts: Sequence[torch.Tensor], shards: str = "auto"
) -> RunComparison:
    """One tensor of one process against what ranks have of it."""
    return compare_many(folder, {"x": whole}, {"x": parts}, shards)


def only(run: RunComparison) -> Row:
    (row,) = run.rows
    return row


# Parts of a whole, each with what must be said of them.
def _partial(whole: torch.Tensor, ranks: int) -> list[torch.Tensor]:
    parts = [torch.randn_like(whole) for _ in range(ranks - 1)]
    return [*parts, whole - sum(parts)]


CUTS: dict[str, Callable[[torch.Tensor, int], list[torch.Tensor]]] = {
    "replicas": lambda whole, ranks: [whole] * ranks,
    "sum()": _partial,
    "concat(0)": lambda whole, ranks: list(whole.tensor_split(ranks, 0)),
    "concat(1)": lambda whole, ranks: list(whole.tensor_split(ranks, 1)),
}
FAULTS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "zero": torch.zeros_like,
    "scaled": lambda part: part * 1.1,
    "doubled": lambda part: part * 2,
    "negated": torch.neg,
    "noise": torch.randn_like,
    "rolled": lambda part: part.roll(1, -1),
    "nan": lambda part: torch.full_like(part, float("nan")),
}


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_every_cut_is_seen(ranks: int, tmp_path: Path) -> None:
    torch.manual_seed(ranks)
    whole = torch.randn(12, 12)
    parts = {cut: CUTS[cut](whole, ranks) for cut in CUTS}
    run = compare_many(tmp_path, dict.fromkeys(CUTS, whole), parts)
    for row in run.rows:
        assert row.verdict.status is Status.PASS
        assert f"shards: {row.pair.data_id} of my ranks 0, 1" in row.pair.paired_by


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("cut", CUTS)
def test_a_fault_in_one_shard_never_passes(
    cut: str, ranks: int, together: bool, tmp_path: Path
) -> None:
    """Whatever way would make it fit, as the sum of a right replica and one of zeros does."""
    torch.manual_seed(7)
    whole = torch.randn(12, 12)
    faulty = {}
    for name, fault in FAULTS.items():
        for place in (0, ranks - 1):
            parts = [part.clone() for part in CUTS[cut](whole, ranks)]
            parts[place] = fault(parts[place])
            faulty[f"{name}{place}"] = parts
    if together:  # beside good ones, from which verdicts learn
        good = {f"good{number}": [whole] * ranks for number in range(10)}
        runs = [compare_many(tmp_path, dict.fromkeys([*good, *faulty], whole), good | faulty)]
    else:
        few = ("zero0", f"zero{ranks - 1}", "scaled0")
        runs = [compare_shards(tmp_path / name, whole, faulty[name]) for name in few]
    rows = [row for run in runs for row in run.rows if "good" not in row.pair.data_id]
    assert rows
    for row in rows:
        assert row.verdict.status is Status.FAIL, row
        if cut == "replicas":
            assert row.verdict.reason is Reason.REPLICAS_DIFFER
            assert "replicas" in row.verdict.sentence


@pytest.mark.parametrize("ranks", [2, 4])
def test_equal_parts_are_replicas_though_their_sum_fits(ranks: int, tmp_path: Path) -> None:
    """Every rank divided by their number: all are wrong, and alike."""
    whole = torch.randn(12, 12)
    row = only(compare_shards(tmp_path, whole, [whole / ranks] * ranks))
    assert row.verdict.status is Status.FAIL
    assert "replicas of my" in row.pair.paired_by


def test_what_cancels_out_is_no_sum(tmp_path: Path) -> None:
    """A replica that is nearly right, and one of what it lacks."""
    whole = torch.randn(12, 12)
    off = torch.randn(12, 12) * 0.05
    row = only(compare_shards(tmp_path, whole, [whole + off, -off]))
    assert row.verdict.status is not Status.PASS


def test_one_element_of_one_replica(tmp_path: Path) -> None:
    whole = torch.randn(12, 12)
    other = whole.clone()
    other[3, 4] += 3
    row = only(compare_shards(tmp_path, whole, [whole, whole, other]))
    assert row.verdict.reason is Reason.REPLICAS_DIFFER
    assert str(row.pair.my).endswith("-1_98/0/x.pth")  # the wrong one


def test_replicas_that_differ_by_rounding_are_alike(tmp_path: Path) -> None:
    whole = torch.randn(64, 64)
    row = only(compare_shards(tmp_path, whole, [whole, whole * (1 + 1e-7 * torch.randn(64, 64))]))
    assert row.verdict.status is Status.PASS


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("fault", [False, True])
def test_shards_that_come_several_times(apart: bool, fault: bool, tmp_path: Path) -> None:
    """Two heads of keys on four ranks, or two groups of two: numbers tell which."""
    torch.manual_seed(3)
    whole = torch.randn(6, 8)
    first, second = (part.clone() for part in whole.chunk(2, 1))
    parts = [first, second, first, second] if apart else [first, first, second, second]
    if fault:
        parts[3] = parts[3] * 1.5
    row = only(compare_shards(tmp_path, whole, parts))
    assert row.verdict.status is (Status.FAIL if fault else Status.PASS)
    if not fault:
        assert ("groups of ranks" if apart else "beside each other") in row.pair.paired_by


def test_whole_numbers_are_replicas(tmp_path: Path) -> None:
    ids = torch.arange(12).reshape(3, 4)
    assert compare_shards(tmp_path / "a", ids, [ids, ids]).passed
    row = only(compare_shards(tmp_path / "b", ids, [ids, ids * 0]))
    assert row.verdict.reason is Reason.REPLICAS_DIFFER


def test_shapes_that_fit_no_way(tmp_path: Path) -> None:
    row = only(compare_shards(tmp_path, torch.ones(4, 6), [torch.ones(4, 2), torch.ones(4, 3)]))
    assert row.verdict.reason is Reason.SHAPE_MISMATCH
    assert "[4, 6] and my has [4, 2] and [4, 3] on ranks 0, 1" in row.verdict.sentence


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_joins_are_those_of_torch(tmp_path: Path, data: st.DataObject) -> None:
    """Of any shape, cut anywhere along any dimension."""
    shape = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    dim = data.draw(st.integers(0, len(shape) - 1))
    sizes = data.draw(st.lists(st.integers(1, 4), min_size=2, max_size=4))
    parts = [torch.randn(*shape[:dim], size, *shape[dim + 1 :]) for size in sizes]
    files = [tmp_path / f"{number}.pth" for number in range(len(parts))]
    for file, part in zip(files, parts, strict=True):
        torch.save(part, file)
    whole = torch.cat(parts, dim)
    torch.save(whole, tmp_path / "whole.pth")
    found = join_shards(
        Location.of(str(tmp_path / "whole.pth")),
        [Location.of(str(file)) for file in files],
        [str(rank) for rank in range(len(parts))],
        "my",
    )
    assert found.error is None
    assert found.shards is not None
    assert found.shards.is_settled
    source = open_location(found.parts)
    assert source.shape == whole.shape
    assert torch.equal(torch.from_numpy(source.read(0, source.elements)), whole.reshape(-1))


# -- which dumps are ranks of one run


def test_what_one_rank_alone_has_is_compared_as_it_is(tmp_path: Path) -> None:
    """Stages of a pipeline, experts: each name on one rank; and what nobody has is told."""
    write(
        tmp_path / "g",
        {f"layer{number}": torch.full((3,), number + 1.0) for number in range(4)},
        None,
    )
    for rank in (0, 1):
        layers = (2 * rank, 2 * rank + 1)
        write(
            tmp_path / "m", {f"layer{one}": torch.full((3,), one + 1.0) for one in layers}, rank, 2
        )
    for golden, my in (("g", "m"), ("m", "g")):
        run = compare_folders(tmp_path / golden, tmp_path / my)
        assert run.passed
        assert [row.pair.data_id for row in run.rows] == [f"layer{number}" for number in range(4)]
        run = compare_folders(tmp_path / golden, tmp_path / my, "required")
        assert {row.verdict.reason for row in run.rows} <= {
            Reason.MY_MISSING,
            Reason.GOLDEN_MISSING,
        }
        assert "shards=required asks for all" in run.rows[0].verdict.sentence


@pytest.mark.parametrize("rank", [0, 1])
def test_a_shard_that_one_rank_alone_has_is_told(rank: int, tmp_path: Path) -> None:
    """It is no whole tensor of another shape; what the others lack cannot be compared, and the
    part that is there can by the adapter that is named."""
    whole, last = torch.randn(4, 6), torch.randn(1, 5, 6)
    write(tmp_path / "g", {"x": whole, "y": whole, "head": last, "last": last}, None)
    for one in (0, 1):
        have = {"y": whole.chunk(2, 1)[one]}
        if one == rank:
            have |= {"x": whole.chunk(2, 1)[one], "head": last, "last": last[:, -1:]}
        write(tmp_path / "m", have, one, 2)
    for golden, my, side, reason in (
        ("g", "m", "golden", Reason.MY_MISSING),
        ("m", "g", "my", Reason.GOLDEN_MISSING),
    ):
        rows = {
            row.pair.data_id: row for row in compare_folders(tmp_path / golden, tmp_path / my).rows
        }
        assert {row.verdict.status for name, row in rows.items() if name in ("y", "head")} == {
            Status.PASS
        }
        assert rows["head"].pair.paired_by.endswith(f"rank {rank} alone")
        assert rows["x"].verdict.reason is reason
        assert f"ranks {rank} alone, [4, 3] where" in rows["x"].verdict.sentence
        assert f"ranks {1 - rank} lack the rest" in rows["x"].verdict.sentence
        cut = f"slice(:, {3 * rank}:{3 * rank + 3})"
        assert f"({side}_adapters: {cut})" in rows["x"].verdict.sentence
        # Five positions are no two shards: what is meant is told where shapes are compared.
        assert rows["last"].verdict.reason is Reason.SHAPE_MISMATCH
        by_hand = ait_cmp.compare_dumps(
            golden_path=tmp_path / golden,
            my_path=tmp_path / my,
            mapping="names",
            mapping_names=[{"golden": "x", "my": "x", f"{side}_adapters": cut}],
        )
        (part,) = (row for row in by_hand.rows if row.pair.data_id == "x")
        assert part.verdict.status is Status.PASS


def test_what_a_tensor_is_does_not_change_from_round_to_round(tmp_path: Path) -> None:
    """A round that was not reduced fits as a sum; one of zeros is all that it may be."""
    torch.manual_seed(5)
    wholes = [torch.randn(12, 12) for _ in range(3)] + [torch.zeros(12, 12)]
    cuts = [CUTS["replicas"]] * 2 + [CUTS["sum()"], CUTS["replicas"]]
    for token, (whole, cut) in enumerate(zip(wholes, cuts, strict=True)):
        write(tmp_path / "g", {"x": whole, "y": whole}, None, token=token)
        for rank, (part, always) in enumerate(
            zip(cut(whole, 2), CUTS["sum()"](whole, 2), strict=True)
        ):
            part = part if token < 3 else whole
            write(tmp_path / "m", {"x": part, "y": always}, rank, 2, token)
    run = compare_folders(tmp_path / "g", tmp_path / "m")
    failed = [row for row in run.rows if row.verdict.status is not Status.PASS]
    assert [(row.pair.data_id, row.pair.token_id) for row in failed] == [("x", 2)]
    assert failed[0].verdict.reason is Reason.REPLICAS_DIFFER
    assert "sum() in this round and replicas in 2 others" in failed[0].verdict.sentence


def test_what_some_ranks_lack_is_not_joined_of_the_others(tmp_path: Path) -> None:
    """Groups of ranks that each have what is theirs are whole, as are stages."""
    whole, names = torch.randn(12, 12), ("a", "b", "lost", "late")
    for token in (0, 1):
        write(tmp_path / "g", dict.fromkeys(names, whole), None, token=token)
        for rank in range(4):
            have: dict[str, torch.Tensor] = {"ab"[rank // 2]: whole.chunk(2, 1)[rank % 2]}
            have |= {"lost": whole.chunk(3, 1)[rank]} if rank < 3 else {}
            have |= {"late": whole} if rank < 3 or not token else {}
            write(tmp_path / "m", have, rank, 4, token)
    for golden, my, reason in (
        ("g", "m", Reason.MY_MISSING),
        ("m", "g", Reason.GOLDEN_MISSING),
    ):
        run = compare_folders(tmp_path / golden, tmp_path / my)
        bad = {
            (row.pair.data_id, row.pair.token_id): row.verdict
            for row in run.rows
            if row.verdict.status is not Status.PASS
        }
        assert set(bad) == {("lost", 0), ("lost", 1), ("late", 1)}
        assert {one.reason for one in bad.values()} == {reason}
        assert "ranks 3 have no 'lost', which ranks 0, 1, 2 have" in bad["lost", 0].sentence


@pytest.mark.parametrize("is_golden", [True, False])
def test_of_what_all_ranks_alone_have_no_rank_is_said_to_stand_alone(
    is_golden: bool, tmp_path: Path
) -> None:
    whole = torch.randn(8, 8)
    write(tmp_path / "one", {"x": whole}, None)
    for rank, part in enumerate(whole.chunk(2, 1)):
        write(tmp_path / "ranks", {"x": part, "rope": part}, rank, 2)
    golden, my = ("ranks", "one") if is_golden else ("one", "ranks")
    run = compare_folders(tmp_path / golden, tmp_path / my)
    bad = [row.verdict for row in run.rows if row.verdict.status is not Status.PASS]
    assert bad
    for verdict in bad:
        assert "'rope'" in verdict.sentence
        assert "alone" not in verdict.sentence
        assert "fewer dumps" not in verdict.sentence


def test_runs_of_several_ranks_of_other_sizes_are_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = torch.randn(8, 8)
    for name, world in (("g", 2), ("m", 4)):
        for rank, part in enumerate(whole.chunk(world, 1)):
            write(tmp_path / name, {"x": part}, rank, world)
    paths = [f"golden_path={tmp_path / 'g'}", f"my_path={tmp_path / 'm'}"]
    assert main([*paths, f"output={tmp_path}"]) == 2
    assert "golden is a run of 2 ranks and my of 4" in capfd.readouterr().err
    assert main(["pair", *paths, f"output={tmp_path / 'pairs.yaml'}"]) == 2
    assert main([*paths, f"output={tmp_path}", "shards=off"]) == 3


def test_off_compares_rank_by_rank(tmp_path: Path) -> None:
    whole = torch.randn(4, 4)
    run = compare_shards(tmp_path, whole, [whole, whole], shards="off")
    assert [row.verdict.status for row in run.rows] == [Status.PASS, Status.ERROR]


def test_runs_that_are_no_ranks_are_not_joined(tmp_path: Path) -> None:
    """Two runs in one folder, two of one rank, and a rank of a larger run."""
    one = {"x": torch.ones(3)}
    write(tmp_path / "g", one, None)
    for name, records in {
        "runs": [ProcessRecord("a"), ProcessRecord("b")],
        "again": [ProcessRecord("a", 0, 0), ProcessRecord("b", 1, 0)],
    }.items():
        for number, record in enumerate(records):
            write(tmp_path / name, one, number)
            run = tmp_path / name / f"ait_dump/tensors/-1_{100 - number}"
            (run / RANK_FILE).write_text(record.to_json())
        assert len(compare_folders(tmp_path / "g", tmp_path / name).rows) == 2
        with pytest.raises(UsageError, match="shards=required, but"):
            compare_folders(tmp_path / "g", tmp_path / name, "required")
    write(tmp_path / "part", one, 0, 2)
    for rank in (0, 1):
        write(tmp_path / "many", one, rank, 2)
    rows = compare_folders(tmp_path / "part", tmp_path / "many").rows
    assert [row.verdict.status for row in rows] == [Status.PASS, Status.ERROR]


def test_a_rank_that_is_not_there_is_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = torch.randn(4, 4)
    write(tmp_path / "g", {"x": whole}, None)
    for rank in (0, 2):
        write(tmp_path / "m", {"x": whole}, rank, 3)
    settings = [f"golden_path={tmp_path / 'g'}", f"my_path={tmp_path / 'm'}", f"output={tmp_path}"]
    assert main(settings) == 0
    assert "my lacks ranks 1 of 3" in capfd.readouterr().err
    assert main([*settings, "shards=required"]) == 2


def test_one_rank_without_the_others_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = torch.randn(4, 4)
    write(tmp_path / "one", {"x": whole, "y": whole}, None)
    write(tmp_path / "part", {"x": whole.chunk(2, 1)[1], "y": whole}, 1, 2)
    for golden, my, side in (("one", "part", "my"), ("part", "one", "golden")):
        caplog.clear()
        run = compare_folders(tmp_path / golden, tmp_path / my)
        assert f"{side} is one rank of 2, and the other side one process" in caplog.text
        assert [row.verdict.status for row in run.rows] == [Status.ERROR, Status.PASS]
    caplog.clear()
    compare_folders(tmp_path / "part", tmp_path / "part")
    assert "one rank of 2" not in caplog.text


@pytest.mark.parametrize("world", [0, 10**6, 10**17])
def test_a_world_of_any_size_is_no_load(
    world: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A world is as large as a file says, perhaps a damaged one."""
    whole = torch.randn(4, 4)
    write(tmp_path / "g", {"x": whole}, 0, world)
    write(tmp_path / "m", {"x": whole}, 0, world)
    assert only(compare_folders(tmp_path / "g", tmp_path / "m")).verdict.status is Status.PASS
    write(tmp_path / "one", {"x": whole}, None)
    for rank in range(2):
        write(tmp_path / "m", {"x": whole}, rank, world)
    settings = [f"golden_path={tmp_path / 'one'}", f"my_path={tmp_path / 'm'}"]
    assert main([*settings, f"output={tmp_path}"]) == 0
    said = "my lacks ranks 2, 3, 4, 5, 6, 7, 8, 9 and 999990 more of 1000000;"
    assert (said in capfd.readouterr().err) == (world == 10**6)


def test_a_dry_run_says_what_it_has_not_checked(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = torch.randn(4, 4)
    write(tmp_path / "g", {"x": whole, "y": whole}, None)
    for rank, part in enumerate(whole.chunk(2, 1)):
        write(tmp_path / "m", {"x": part, "y": whole}, rank, 2)
    paths = [f"golden_path={tmp_path / 'g'}", f"my_path={tmp_path / 'm'}", f"output={tmp_path}"]
    assert main([*paths, "dry_run=true"]) == 0
    said = capfd.readouterr()
    assert "shards concat(1) of my ranks 0, 1 (unchecked: by shapes alone)" in said.out
    assert "shards replicas or sum() of my ranks 0, 1 (unchecked: " in said.out
    assert "my has ranks 0, 1 of another run" in said.err


def test_calibrating_learns_of_settled_rows_alone(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = torch.randn(16, 16)
    write(tmp_path / "g", {"good": whole, "bad": whole}, None)
    for rank in (0, 1):
        write(tmp_path / "m", {"good": whole * (1 + 1e-4), "bad": whole * rank}, rank, 2)
    paths = [f"golden_path={tmp_path / 'g'}", f"my_path={tmp_path / 'm'}", f"output={tmp_path}"]
    assert main(["calibrate", *paths, "mapping=tree"]) == 1
    assert (
        "fail token 0 bad: what my ranks 0, 1 have of it should be equal" in capfd.readouterr().out
    )
    (learned,) = tmp_path.rglob("calibrated.yaml")
    assert "good:" in learned.read_text()
    assert "bad:" not in learned.read_text()


# -- entries of metadata.json that name one rank


@pytest.mark.parametrize("fault", [False, True])
def test_an_entry_that_names_the_shard_of_one_rank(fault: bool, tmp_path: Path) -> None:
    """dump_data in a script of one process, and the library's dump of two devices."""
    whole, same = torch.randn(4, 6), torch.randn(4, 4)
    for device, part in enumerate(whole.chunk(2, 1)):
        below = tmp_path / f"lib/{device}_{70 + device}/0/1_Linear/after"
        below.mkdir(parents=True)
        ait_cmp.write_bin(below / "outtensor0.bin", part * (3 if fault and device else 1))
        ait_cmp.write_bin(below / "outtensor1.bin", same if device == 0 else same * 5)
    for name, tensor, number in (("cut", whole, 0), ("whole", same, 1)):
        my = tmp_path / f"lib/0_70/0/1_Linear/after/outtensor{number}.bin"
        ait_cmp.dump_data(0, name, tensor, my, tmp_path)
    run = ait_cmp.compare_dumps(golden_path=tmp_path / "ait_dump")
    cut, named = run.rows
    assert cut.verdict.status is (Status.FAIL if fault else Status.PASS)
    assert "concat(1) of my ranks device 0, device 1" in cut.pair.paired_by
    # What the entry names has golden's shape, so that it alone is meant.
    assert named.verdict.status is Status.PASS
    assert len(named.pair.my.files) == 1
    off = ait_cmp.compare_dumps(golden_path=tmp_path / "ait_dump", shards="off")
    assert off.rows[0].verdict.reason is Reason.SHAPE_MISMATCH


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("fault", [False, True])
def test_pair_leaves_copies_of_shards_to_comparing(
    apart: bool, fault: bool, tmp_path: Path
) -> None:
    """Two heads of keys on four ranks: each copy is asked for, so that a fault of any fails."""
    torch.manual_seed(1)
    root, ours = "model.layers.0", ("self_attn.k_proj", "self_attn.q_proj", "input_layernorm")
    keys, q, norm = (torch.randn(1, 5, size) for size in (16, 32, 32))
    write(
        tmp_path / "g",
        {f"{root}.{name}": one for name, one in zip(ours, (keys, q, norm), strict=True)},
        None,
    )
    for rank in range(4):
        key = keys.chunk(2, 2)[rank % 2 if apart else rank // 2]
        held = {"attention.wk": key * (2 if fault and rank == 3 else 1), "attention_norm": norm}
        held |= {"attention.wq": q.chunk(4, 2)[rank]}
        write(tmp_path / "m", {f"{root}.{name}": one[0] for name, one in held.items()}, rank, 4)
    paths = [f"golden_path={tmp_path / 'g'}", f"my_path={tmp_path / 'm'}"]
    mapping = tmp_path / "pairs.yaml"
    assert main(["pair", *paths, f"output={mapping}"]) == 0
    status = main([*paths, f"output={tmp_path / 'out'}", f"mapping={mapping}", "executor=serial"])
    assert status == (1 if fault else 0)
    with open(tmp_path / "out" / "cmp_report.csv", newline="", encoding="utf-8") as file:
        rows = {row["data_id"].rpartition(".")[2]: row for row in csv.DictReader(file)}
    assert rows["q_proj"]["status"] == rows["input_layernorm"]["status"] == "pass"
    assert rows["k_proj"]["reason"] == ("REPLICAS_DIFFER" if fault else "")
    if not fault:
        where = "groups of ranks" if apart else "ranks beside each other"
        assert f"2 replicas of each shard on {where}" in rows["k_proj"]["paired_by"]


@pytest.mark.parametrize("renamed", [False, True])
def test_pair_proposes_what_the_ranks_make_together_and_nothing_of_one(
    renamed: bool, tmp_path: Path
) -> None:
    """Ranks hold a column, a row that is not reduced, gate and up fused each of its own, and the
    stream whole; what one rank has that nobody can join is left alone."""
    torch.manual_seed(0)
    sizes = {"norm": 8, "up": 24, "gate": 24, "q": 16, "down": 8, "other": 8}
    one = {name: torch.randn(1, 5, size) for name, size in sizes.items()}
    root, words = "model.layers.0", {"q": "self_attn.q_proj", "norm": "input_layernorm"}
    words |= {name: f"mlp.{name}_proj" for name in ("up", "gate", "down")}
    theirs = {"norm": "attention_norm", "q": "attention.wq", "down": "feed_forward.w2"}
    called = words | theirs if renamed else words
    write(tmp_path / "g", {f"{root}.{word}": one[name] for name, word in words.items()}, None)
    partial = torch.randn(1, 5, 8)
    for rank in range(2):
        mine = {name: one[name].chunk(2, -1)[rank] for name in ("q", "gate", "up")}
        fused = torch.cat([mine.pop("gate"), mine.pop("up")], -1)
        mine |= {"norm": one["norm"], "down": (partial, one["down"] - partial)[rank]}
        tensors = {f"{root}.{called[name]}": tensor for name, tensor in mine.items()}
        tensors[f"{root}.mlp.gate_up_proj"] = fused
        tensors[f"{root}.zzz"] = torch.randn(1, 5, 8)
        write(tmp_path / "m", tensors, rank, 2)
    folders = [f"golden_path={tmp_path / 'g'}", f"my_path={tmp_path / 'm'}"]
    pairs = tmp_path / "pairs.yaml"
    assert main(["pair", *folders, f"output={pairs}"]) == 0
    main([*folders, f"mapping={pairs}", f"output={tmp_path / 'r'}", "executor=serial"])
    with (tmp_path / "r" / "cmp_report.csv").open() as file:
        rows = {row["data_id"]: row for row in csv.DictReader(file)}
    passed = {name for name, row in rows.items() if row["status"] == "pass"}
    assert len(passed) == 4
    assert {row["status"] for name, row in rows.items() if name not in passed} == {"error"}
    assert "zzz" in next(name for name in rows if name not in passed)
    said = " ".join(row["my_data_path"] for row in rows.values())
    assert "sum()" in said
    assert "concat(2)" in said


def test_pair_brings_no_part_of_a_fused_tensor_to_a_part(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each rank has q, k and v fused for itself: that the halves are q on both sides would leave k
    and v to nobody. Written by hand, the order of the ranks is golden's too."""
    torch.manual_seed(0)
    fused = {f"model.layers.{layer}.self_attn.qkv_proj": torch.randn(6, 64) for layer in range(3)}
    write(tmp_path / "g", fused, None)
    for rank in (0, 1):
        parts = {
            name: torch.cat(
                [one.chunk(2, 1)[rank] for one in torch.split(whole, [32, 16, 16], 1)], 1
            )
            for name, whole in fused.items()
        }
        write(tmp_path / "m", parts, rank, 2)
    paths = [f"golden_path={tmp_path / 'g'}", f"my_path={tmp_path / 'm'}"]
    proposed = tmp_path / "pairs.yaml"
    main(["pair", *paths, f"output={proposed}"])
    assert "slice" not in proposed.read_text()
    assert main([*paths, f"mapping={proposed}", f"output={tmp_path}"]) == 1
    names = [
        {"golden": name, "my": name, "golden_adapters": "regroup(-1, 2, 32, 16, 16)"}
        for name in fused
    ]
    run = ait_cmp.compare_dumps(
        golden_path=tmp_path / "g", my_path=tmp_path / "m", mapping="names", mapping_names=names
    )
    assert run.passed
