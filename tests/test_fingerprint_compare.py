"""Fingerprints where a dump may stand: whatever lists, adapts and compares dumps takes them."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ait_cmp import dump_modules
from ait_cmp.__main__ import main
from ait_cmp.engine.adapters import adapt
from ait_cmp.engine.pairwise import measure_request, measure_sources
from ait_cmp.engine.request import Request, Wanted
from ait_cmp.fingerprint.container import Container
from ait_cmp.fingerprint.make import make_fingerprint
from ait_cmp.mapping.layouts import list_dump
from ait_cmp.mapping.layouts.fingerprints import container_ranks
from ait_cmp.mapping.layouts.ranks import pair_ranks
from ait_cmp.source import FingerprintSource, Source, from_memory
from ait_cmp.tensors import as_array
from ait_cmp.values.errors import PairError, Reason
from ait_cmp.values.location import Location, parse_steps
from tests.executors import HERE
from tests.test_layouts import DUMPS, made


def rows(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "cmp_report.parquet")


@pytest.fixture(scope="module")
def dumps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Golden and a my with a row of weights off, each as tensors and as fingerprints."""
    folder = tmp_path_factory.mktemp("dumps")
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Sequential(nn.Linear(64, 64), nn.GELU(), nn.LayerNorm(64)) for _ in range(5))
    )
    x = torch.randn(40, 64)
    found = {}
    for side in ("golden", "my"):
        for kind in ("full", "kept"):
            place = folder / f"{side}_{kind}"
            if kind == "kept":
                place = place.with_suffix(".fp.safetensors")
            with dump_modules(model, place, fingerprint=kind == "kept"):
                model(x)
            found[f"{side} {kind}"] = place
        wrong = model.get_submodule("3.0")
        wrong.get_parameter("weight").data[5] *= 2
    return found


@pytest.mark.parametrize(
    ("golden", "my", "executor"),
    [
        *(("kept", "full", one) for one in HERE if one != "auto"),
        ("full", "kept", "serial"),
        ("kept", "kept", "serial"),
    ],
)
def test_it_is_compared_like_a_dump(
    golden: str, my: str, executor: str, dumps: dict[str, Path], tmp_path: Path
) -> None:
    sides = [f"golden_path={dumps[f'golden {golden}']}", f"my_path={dumps[f'my {my}']}"]
    settings = [f"executor={executor}", "log_level=error", "report.formats=[parquet]"]
    assert main([*sides, *settings, f"output={tmp_path / 'r'}"]) == 1
    sides = [f"golden_path={dumps['golden full']}", f"my_path={dumps['my full']}"]
    assert main([*sides, *settings, f"output={tmp_path / 'full'}"]) == 1
    found, full = rows(tmp_path / "r"), rows(tmp_path / "full")
    assert found["data_id"].to_list() == full["data_id"].to_list()
    assert found["status"].to_list() == full["status"].to_list()
    equal = [[one == 1 for one in table["exact_match"].to_list()] for table in (found, full)]
    assert equal[0] == equal[1]
    first = [
        next(row["data_id"] for row in table.iter_rows(named=True) if row["first_divergence"])
        for table in (found, full)
    ]
    assert first[0] == first[1] == "3.0/out0"


def test_the_same_run_matches_to_the_bit(dumps: dict[str, Path], tmp_path: Path) -> None:
    sides = [f"golden_path={dumps['golden kept']}", f"my_path={dumps['golden full']}"]
    assert main([*sides, f"output={tmp_path}"]) == 0
    assert set(rows(tmp_path)["exact_match"].to_list()) == {1.0}


def test_several_processes_dump_to_one_file(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(
        "import subprocess, sys, torch\n"
        "if len(sys.argv) < 2:\n"
        "    for one in '12': subprocess.run([sys.executable, __file__, one], check=True)\n"
        "else:\n"
        "    torch.nn.Linear(64, 64)(torch.full((40, 64), float(sys.argv[1])))\n"
    )
    path = tmp_path / "out" / "all.fp.safetensors"
    words = ["--exec", f"{sys.executable} main.py", "-fp", "-o", str(path)]
    done = subprocess.run(
        [sys.executable, "-m", "ait_cmp", "dump", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert f"in {path}" in done.stderr
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    ranks = list_dump("golden_path", str(path)).ranks
    assert [len(rank.tensors) for rank in ranks] == [2, 2]
    assert len({rank.record and rank.record.process for rank in ranks}) == 2


# -- the command


@pytest.mark.parametrize("dump", DUMPS)
def test_a_dump_of_every_layout_has_fingerprints(dump: str, tmp_path: Path) -> None:
    folder, path = made(dump, tmp_path / "d"), tmp_path / "made.fp.safetensors"
    full = list_dump("golden_path", str(folder)).ranks
    lost = any(open_error(one.file) for rank in full for one in rank.tensors)
    assert main(["fingerprint", f"golden_path={folder}", f"output={path}"]) == 3 * lost
    light = list_dump("golden_path", str(path)).ranks
    assert len(light) == len(full)
    for one, other in zip(light, full, strict=True):
        assert replace(one, tensors=()) == replace(other, tensors=())
        assert [(t.token_id, t.name, t.identity, t.aliases) for t in one.tensors] == [
            (t.token_id, t.name, t.identity, t.aliases) for t in other.tensors
        ]


def open_error(location: str) -> bool:
    one = Location.of(location)
    return measure_request(Request(one, one, Wanted(1e-7))).error is not None


def test_one_of_fingerprints_is_made_of_many(dumps: dict[str, Path], tmp_path: Path) -> None:
    again = tmp_path / "again.fp.safetensors"
    assert main(["fingerprint", f"golden_path={dumps['golden kept']}", f"output={again}"]) == 0
    sides = [f"golden_path={again}", f"my_path={dumps['golden full']}"]
    assert main([*sides, f"output={tmp_path / 'r'}"]) == 0
    first = again.read_bytes()
    main(["fingerprint", f"golden_path={dumps['golden kept']}", f"output={again}"])
    assert again.read_bytes() == first  # it says nothing of the day and the process


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["golden_path={}", "output=x.txt"], "must be a file of fingerprints"),
        (["golden_path=gone", "output=x.fp.safetensors"], "golden_path: gone"),
    ],
)
def test_what_the_command_refuses(
    arguments: list[str],
    sentence: str,
    dumps: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["fingerprint", *(one.format(dumps["golden full"]) for one in arguments)]) == 2
    assert sentence in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


# -- adapters


def kept(path: Path, tensor: Tensor) -> str:
    file = Container(str(path))
    file.add("x", make_fingerprint(tensor).pack())
    file.close()
    return f"{path}::x"


def compared(golden: str, steps: str, my: str, my_steps: str = "") -> tuple[float, Reason | None]:
    one, other = Location((golden,), parse_steps(steps)), Location((my,), parse_steps(my_steps))
    found = measure_request(Request(one, other, Wanted(2.0**-23)))
    if found.error:
        return -1.0, found.error.reason
    assert found.stats
    return float(found.stats.is_equal), None


T = torch.arange(2 * 30 * 64, dtype=torch.float32).reshape(2, 30, 64)
MOVES = {
    "transpose(0, 1)": T.transpose(0, 1),
    "permute(2, 0, 1)": T.permute(2, 0, 1),
    "unsqueeze(0) | transpose(0, 1)": T[:, None],
    "flatten(0, 1)": T.flatten(0, 1),
    "flatten()": T.flatten(),
    "reshape(2, 30, 8, 8) | permute(2, 0, 1, 3)": T.reshape(2, 30, 8, 8).permute(2, 0, 1, 3),
    "unsqueeze(1) | squeeze(1) | permute(1, 2, 0)": T.permute(1, 2, 0),
}


@pytest.mark.parametrize("steps", MOVES)
def test_axes_are_moved(steps: str, tmp_path: Path) -> None:
    golden, my = kept(tmp_path / "g.fp.safetensors", T), tmp_path / "m.pt"
    torch.save(MOVES[steps].contiguous(), my)
    assert compared(golden, steps, str(my)) == (1.0, None)
    torch.save(MOVES[steps].contiguous().flip(0), my)
    assert compared(golden, steps, str(my))[0] == 0.0 or steps.startswith("unsqueeze(0)")
    torch.save(T, my)
    assert compared(str(my), steps, golden, steps) == (1.0, None)
    both = [golden, kept(tmp_path / "m.fp.safetensors", MOVES[steps].contiguous())]
    same_order = torch.equal(MOVES[steps].flatten(), T.flatten()) and MOVES[steps].shape[-1] == 64
    expected = (1.0, None) if same_order else (-1.0, Reason.NEEDS_TENSORS)
    assert compared(both[0], steps, both[1]) == expected


@pytest.mark.parametrize("steps", ["slice(0)", "slice(:, 0:10)", "select(0, 1)", "unpad(1)"])
def test_what_needs_elements_says_so(steps: str, tmp_path: Path) -> None:
    golden, my = kept(tmp_path / "g.fp.safetensors", T), tmp_path / "m.pt"
    torch.save(T, my)
    assert compared(golden, steps, str(my)) == (-1.0, Reason.NEEDS_TENSORS)


OTHERS: list[Callable[[Tensor], Tensor]] = [
    lambda x: x.transpose(0, 1),
    lambda x: x.transpose(1, 2),
    lambda x: x.flatten(0, 1),
    lambda x: x.flatten(1, 2),
    lambda x: x.transpose(0, 1).flatten(1, 2),
    lambda x: x[None],
    lambda x: x[1],
    lambda x: x[:, :5],
    lambda x: x.transpose(0, 1)[1],
    lambda x: torch.cat([x, x], 2),
]


def a_side(tensor: Tensor, is_kept: bool) -> Source:
    found = make_fingerprint(tensor.contiguous())
    if not is_kept or found.is_whole:
        return from_memory(*as_array(tensor.contiguous(), "it"))
    return FingerprintSource(found.dtype, found.shape, found, "a file", 1)


@settings(max_examples=40)
@given(st.permutations([6, 20, 40]), st.sampled_from(OTHERS), st.tuples(*[st.booleans()] * 3))
def test_what_is_advised_of_other_shapes_works(
    shape: list[int], other: Callable[[Tensor], Tensor], choices: tuple[bool, ...]
) -> None:
    """Whatever of both sides is a fingerprint; what needs tensors says so."""
    tensor = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    sides = [a_side(*one) for one in zip((tensor, other(tensor)), choices[:2], strict=True)]
    golden, my = reversed(sides) if choices[2] else sides
    error = measure_sources(golden=golden, my=my, wanted=Wanted(1e-7)).error
    assert error
    assert error.reason is Reason.SHAPE_MISMATCH
    said = error.sentence.replace("(0, N)", "(0, 1)").split(": write ")[0]
    advised = re.search("; (.*) would make them equal$|or cut: (.*?) where ", said)
    if not advised or "MASK" in said:
        assert (
            "MASK" in said
            or "cannot be told" in said
            or (any(choices[:2]) and "dump the tensors of" in said)
        )
        return
    fit = dict(
        one.split(": ") for one in (advised[1] or advised[2]).split(", or")[0].split(" and ")
    )
    golden, my = (
        adapt([side], parse_steps(fit.get(name, "")))
        for name, side in (("golden", golden), ("my", my))
    )
    assert not measure_sources(golden=golden, my=my, wanted=Wanted(1e-7)).error


def test_an_adapter_that_does_not_fit_says_so(tmp_path: Path) -> None:
    golden, my = kept(tmp_path / "g.fp.safetensors", T), tmp_path / "m.pt"
    torch.save(T, my)
    assert compared(golden, "squeeze(0)", str(my)) == (-1.0, Reason.ADAPTER_MISMATCH)
    assert compared(golden, "reshape(7)", str(my)) == (-1.0, Reason.ADAPTER_MISMATCH)
    assert compared(golden, "transpose(0, 1)", str(my)) == (-1.0, Reason.SHAPE_MISMATCH)


@pytest.mark.parametrize("kind", ["fp.safetensors", "safetensors", "pt", "npz"])
def test_a_file_of_many_tensors_that_is_damaged_is_said_to_be(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, folder, damaged = tmp_path / f"g.{kind}", tmp_path / "g", tmp_path / f"m.{kind}"
    tensors = {"a": T, "b": T + 1}
    if kind == "fp.safetensors":
        file = Container(str(whole))
        for name, tensor in tensors.items():
            file.add(name, make_fingerprint(tensor).pack())
        file.close()
    elif kind == "safetensors":
        safetensors.torch.save_file(tensors, whole)
    elif kind == "pt":
        torch.save(tensors, whole)
    else:
        np.savez(whole, a=T.numpy(), b=T.numpy())
    folder.mkdir()
    shutil.copy(whole, folder)
    damaged.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    output = [f"output={tmp_path / 'r'}", "allow_same=true"]
    for golden, mapping in ((whole, "tree"), (folder, "tree"), (folder, "auto")):
        sides = [f"golden_path={golden}", f"my_path={damaged}", f"mapping={mapping}"]
        assert main([*sides, *output]) == 2
        assert f"{damaged} is no whole " in capsys.readouterr().err
    sides = [f"golden_path={whole}", f"my_path={whole}", f"reference_path={damaged}"]
    assert main([*sides, *output]) == 2
    assert f"{damaged} is no whole " in capsys.readouterr().err


@pytest.mark.parametrize(
    "harm",
    [
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: b"x" + data[1:],
        lambda _: b"",
    ],
)
def test_a_fingerprint_that_is_not_whole_says_so(harm: object, tmp_path: Path) -> None:
    file = Container(str(tmp_path / "g.fp.safetensors"))
    file.add("x", harm(make_fingerprint(T).pack()))  # type: ignore[operator]
    file.close()
    torch.save(T, tmp_path / "m.pt")
    found = compared(f"{file.path}::x", "", str(tmp_path / "m.pt"))
    assert found == (-1.0, Reason.FINGERPRINT_MALFORMED)


KEYS = ["dump", "name", "rank", "run", "record", "says_cuts", "unseen", "order_by", "of", "in"]
KEYS += ["tensor", "token", "failed", "identity", "aliases", "folder", "file", "model", "root"]
KEYS += ["modules", "module", "operand", "at", "shell", "again"]
values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "0", "-1_7/0/x", "x"]),
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.sampled_from(KEYS), inner),
    max_leaves=9,
)


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    lines=st.lists(st.dictionaries(st.sampled_from(KEYS), values, max_size=12) | values, max_size=5)
)
def test_lines_that_make_no_sense_are_said_to(lines: list[object], tmp_path: Path) -> None:
    file = Container(str(tmp_path / "x.fp.safetensors"))
    for line in lines:
        file.say(line)  # type: ignore[arg-type]
    file.close()
    with contextlib.suppress(PairError):
        for rank in container_ranks(file.path):
            assert isinstance(rank.name, str)
            assert all(isinstance(one.name, str) for one in rank.tensors)
            pair_ranks(golden=[rank], my=[rank])
