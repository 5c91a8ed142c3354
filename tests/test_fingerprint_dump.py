"""A dump of fingerprints: the same tensors, names and order as a dump of tensors, in one file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ait_cmp import dump_modules
from ait_cmp.dump import fingerprints
from ait_cmp.engine.fingerprinting import fingerprint_of_tensor
from ait_cmp.fingerprint.container import Container
from ait_cmp.mapping.layouts import list_dump
from ait_cmp.mapping.layouts.ranks import DumpedTensor, RankDump
from ait_cmp.source import FingerprintSource, open_source
from ait_cmp.tensors import raw_bytes
from ait_cmp.values.errors import PairError, Reason, UsageError
from tests.dumps import ait_llm_dump, read_bin


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.act, self.down = nn.Linear(64, 96), nn.ReLU(inplace=True), nn.Linear(96, 64)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.down(self.act(self.up(x)))
        return result


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(Block(), Block())


X = torch.linspace(-1, 1, 40 * 64).reshape(1, 40, 64)


def dumped(path: Path) -> list[RankDump]:
    return list_dump("golden_path", str(path)).ranks


def kept(one: DumpedTensor) -> FingerprintSource:
    source = open_source(one.file)
    assert isinstance(source, FingerprintSource)
    with pytest.raises(PairError, match="dump the tensors"):
        source.read(0, 1)
    return source


def both_ways(model: nn.Module, folder: Path, **options: Any) -> tuple[Path, Path]:
    """Two rounds of it as tensors, and as fingerprints."""
    for name, fingerprint in (("full", False), ("kept", True)):
        with dump_modules(
            model, folder / name, execute_range=[(0, 1)], fingerprint=fingerprint, **options
        ):
            model(X)
            model(X + 1)
    return folder / "full", folder / "kept"


@pytest.mark.parametrize("options", [{}, {"save_time": 2}, {"operation_name": ["down"]}])
def test_it_has_what_a_dump_of_tensors_has(
    options: dict[str, Any], model: nn.Module, tmp_path: Path
) -> None:
    ((full,), (light,)) = map(dumped, both_ways(model, tmp_path, **options))
    assert (light.name, light.rank) == (full.name, full.rank)
    assert light.record
    assert full.record
    assert light.record.process == full.record.process
    names = [(one.token_id, one.name, one.identity and one.identity.at) for one in full.tensors]
    assert [(o.token_id, o.name, o.identity and o.identity.at) for o in light.tensors] == names
    for one, tensor in zip(light.tensors, full.tensors, strict=True):
        expected = fingerprint_of_tensor(read_bin(Path(tensor.file)))
        assert kept(one).fingerprint.pack() == expected.pack()
        assert kept(one).shape == expected.shape


def test_a_tensor_that_is_handed_on_is_looked_at_once(
    model: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Tensor] = []

    def make(name: str, tensor: Tensor) -> bytes:
        made.append(tensor)
        return fingerprint_of_tensor(tensor, name=name).pack()

    monkeypatch.setattr(fingerprints, "_fingerprint", make)
    with dump_modules(model, tmp_path / "a.fp.safetensors", fingerprint=True) as path:
        model(X)
    # Of each block what the three give back, of which one is changed in place and looked at again,
    # and its own output; and the input of the model.
    assert len(made) == 2 * 5 + 1 - 2  # in place, one object is input and output
    (rank,) = dumped(path)
    assert len(rank.tensors) == 2 * 8 + 2
    changed = [kept(one).fingerprint.checksum for one in rank.tensors if "0.act" in one.name]
    assert len(set(changed)) == 1


def test_in_inference_mode_nothing_is_taken_for_unchanged(tmp_path: Path) -> None:
    """Torch counts no changes there, and one module changes in place what it was given."""

    class Changes(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.add_(1)

    model = nn.Sequential(nn.Identity(), Changes(), nn.Identity())
    with (
        torch.inference_mode(),
        dump_modules(model, tmp_path / "a.fp.safetensors", fingerprint=True) as path,
    ):
        model(X.clone())
    (rank,) = dumped(path)
    sums = {one.name: kept(one).fingerprint.checksum for one in rank.tensors}
    assert sums["0/out0"] != sums["2/in0"] == sums["out0"]


def test_what_cannot_be_kept_is_a_row_that_says_why(tmp_path: Path) -> None:
    class Gives(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x.to_sparse(), x + 1

    with dump_modules(Gives(), tmp_path / "a.fp.safetensors", fingerprint=True) as path:
        Gives()(X)
    assert not path.exists()  # nothing was called that is watched
    model = Gives()
    with dump_modules(model, tmp_path / "a.fp.safetensors", fingerprint=True) as path:
        model(torch.eye(3))
    (rank,) = dumped(path)
    errors = {one.name: one.error and one.error.reason for one in rank.tensors}
    assert errors == {"in0": None, "out0": Reason.NOT_SAVED, "out1": None}


@pytest.mark.parametrize(
    "tensor",
    [torch.tensor(2.5), torch.arange(6).reshape(2, 3), torch.ones(0, 3), torch.ones(3).bfloat16()],
)
def test_a_small_tensor_is_there_itself(tensor: Tensor, tmp_path: Path) -> None:
    file = Container(str(tmp_path / "a.fp.safetensors"))
    file.add("x", fingerprint_of_tensor(tensor).pack())
    file.close()
    source = open_source(f"{file.path}::x")
    assert (source.dtype.name, source.shape) == (str(tensor.dtype)[6:], tuple(tensor.shape))
    assert source.read(0, source.elements).tobytes() == bytes(raw_bytes(tensor))


@pytest.mark.parametrize("max_bytes", [2000, 40_000])
def test_no_more_is_kept_than_is_allowed(
    max_bytes: int, model: nn.Module, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with dump_modules(model, tmp_path, fingerprint=True, max_bytes=max_bytes):
        assert model(X).shape == X.shape
    assert "are used up" in caplog.text
    size = sum(path.stat().st_size for path in tmp_path.rglob("*.fp.safetensors"))
    assert size <= max_bytes


def test_a_place_that_takes_no_file_stops_the_dump_with_one_sentence(
    model: nn.Module, caplog: pytest.LogCaptureFixture
) -> None:
    with dump_modules(model, "/proc/none/a.fp.safetensors", fingerprint=True):
        assert model(X).shape == X.shape
    assert len(caplog.messages) == 1
    assert "/proc/none" in caplog.text
    assert "the model goes on" in caplog.text


def test_types_and_fingerprints_are_not_asked_for_together(
    model: nn.Module, tmp_path: Path
) -> None:
    with (
        pytest.raises(UsageError, match="only-save-desc"),
        dump_modules(model, tmp_path, fingerprint=True, only_save_desc=True),
    ):
        pass


def test_dump_data_keeps_fingerprints_where_it_is_told_to(tmp_path: Path) -> None:
    text = """
import torch
from ait_cmp import dump_data
for token in range(2):
    for data_id in ("a", "b/ü"):
        torch.manual_seed(token)  # both of a token are the same, and kept once
        dump_data(token, data_id, torch.randn(40, 64), f"my/{token}.bin")
dump_data(1, "no", torch.eye(3).to_sparse(), "my/no.bin")
dump_data(1, "later", torch.eye(3).to_sparse(), "my/no.bin")
dump_data(1, "later", torch.ones(90, 50), "my/no.bin")
"""
    environ = os.environ | {"AIT_CMP_FINGERPRINT": "1"}
    run = [PYTHON, "-W", "ignore", "-c", text]
    subprocess.run(run, cwd=tmp_path, env=environ, check=True, timeout=120)
    (tmp_path / "ait_dump").rename(tmp_path / "moved")  # each is found beside its metadata.json
    (rank,) = dumped(tmp_path / "moved")
    found = {(one.name, one.token_id): one for one in rank.tensors}
    assert {key for key, one in found.items() if one.error} == {("no", 1)}
    torch.manual_seed(1)
    expected = fingerprint_of_tensor(torch.randn(40, 64)).pack()
    assert kept(found["a", 1]).fingerprint.pack() == expected
    assert kept(found["b/ü", 1]).fingerprint.pack() == expected
    assert kept(found["later", 1]).shape == (90, 50)


PYTHON = sys.executable
SCRIPT = """
import os, signal, torch
from torch import nn
torch.manual_seed(0)
torch.set_num_threads(1)  # those of OpenMP do not live on in a forked child
model = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 64))
def step(number):
    with torch.no_grad():
        return model(torch.full((40, 64), float(number)))
"""


def script(folder: Path, text: str) -> str:
    (folder / "main.py").write_text(SCRIPT + text)
    return f"{PYTHON} {folder / 'main.py'}"


def rounds(path: Path) -> list[Counter[int | None]]:
    """How many tensors each process has of each round."""
    return [Counter(one.token_id for one in rank.tensors) for rank in dumped(path)]


def test_a_killed_script_leaves_its_finished_rounds(tmp_path: Path) -> None:
    text = """
calls = []
def kill(*_):
    calls.append(1)
    if len(calls) == 4:
        os.kill(os.getpid(), 9)
model[1].register_forward_hook(kill)
for number in range(9):
    step(number)
"""
    done = ait_llm_dump(script(tmp_path, text), "-fp", "-er", "0,99", "-o", tmp_path / "out")
    assert done.returncode == 128 + 9
    assert rounds(tmp_path / "out") == [Counter({0: 6, 1: 6, 2: 6})]
    assert "18 tensors of 3 token rounds" in done.stderr


def test_each_process_has_a_file_of_its_own(tmp_path: Path) -> None:
    text = """
step(0)
if not os.fork():
    step(1)
    step(2)
    os._exit(0)
os.wait()
"""
    done = ait_llm_dump(script(tmp_path, text), "-fp", "-er", "0,99", "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    found = sorted(rounds(tmp_path / "out"), key=lambda one: one.total())
    assert found == [Counter({0: 6}), Counter({0: 6, 1: 6})]


@pytest.mark.parametrize(
    ("more", "output", "said"),
    [
        (["-fp"], "a.safetensors", "must be a folder, or with --fingerprint X.fp.safetensors"),
        ([], "a.fp.safetensors", "pass --fingerprint as well"),
        (["-fp"], "/proc/a.fp.safetensors", "cannot be written"),
        (["-fp", "--type", "tensor", "model"], "a.fp.safetensors", "a folder as --output"),
    ],
)
def test_a_place_that_is_none_is_refused_in_a_sentence(
    more: list[str], output: str, said: str, tmp_path: Path
) -> None:
    done = ait_llm_dump(script(tmp_path, "step(0)"), *more, "-o", tmp_path / output)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert said in line
    assert [one.name for one in tmp_path.iterdir()] == ["main.py"]


def test_a_file_that_is_named_is_of_one_process(tmp_path: Path) -> None:
    text = """
from ait_cmp import dump_modules
with dump_modules(model, "a.fp.safetensors", fingerprint=True):
    if not os.fork():
        step(0)
        os._exit(0)
    os.wait()
    step(1)
"""
    script(tmp_path, text)
    subprocess.run([PYTHON, "main.py"], cwd=tmp_path, check=True, timeout=120)
    path, *others = sorted(tmp_path.glob("*.safetensors"), key=lambda one: len(one.name))
    assert len(others) == 1
    sides = [
        {one.name: kept(one).fingerprint.checksum for one in dumped(file)[0].tensors}
        for file in (path, *others)
    ]
    assert sides[0].keys() == sides[1].keys()
    assert sides[0]["in0"] != sides[1]["in0"]


def test_what_a_killed_ait_has_dumped_is_beside_the_place_that_it_was_for(tmp_path: Path) -> None:
    text = """
step(0)
os.kill(os.getppid(), signal.SIGKILL)
step(1)
"""
    path, left = (tmp_path / f"a.fp.safetensors{end}" for end in ("", ".unfinished"))
    done = ait_llm_dump(script(tmp_path, text), "-fp", "-er", "0,99", "-o", path)
    assert done.returncode == -signal.SIGKILL
    assert rounds(left)[0][0] == 6
    done = ait_llm_dump(script(tmp_path, "step(2)"), "-fp", "-o", path)
    assert f"golden_path={left}" in done.stderr
    assert rounds(left)[0][0] == rounds(path)[0][0] == 6
    assert sorted(tmp_path.iterdir()) == [path, left, tmp_path / "main.py"]


def test_a_file_that_came_meanwhile_is_another_runs_and_stays(tmp_path: Path) -> None:
    path, other = tmp_path / "a.fp.safetensors", tmp_path / "a_1.fp.safetensors"
    path.write_bytes(b"an older one, to be replaced")
    more = f"import pathlib; step(0); pathlib.Path('{path}').write_bytes(b'of another run')"
    done = ait_llm_dump(script(tmp_path, more), "-fp", "-o", path)
    assert path.read_bytes() == b"of another run"
    assert f"what this one dumped is {other}" in done.stderr
    assert f"golden_path={other} my_path=MY" in done.stderr
    assert rounds(other) == [Counter({0: 6})]
    done = ait_llm_dump(script(tmp_path, "step(0)"), "-fp", "-o", path)
    assert rounds(path) == [Counter({0: 6})]


def test_what_makes_no_one_file_stays_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.fp.safetensors"
    path.mkdir()
    done = ait_llm_dump(script(tmp_path, "step(0)"), "-fp", "-o", path)
    assert done.returncode == 4
    (line,) = done.stderr.splitlines()
    assert "is a directory" in line
    assert f"{path}.unfinished" in line
    assert rounds(Path(f"{path}.unfinished")) == [Counter({0: 6})]


def test_the_model_notices_nothing(model: nn.Module, tmp_path: Path) -> None:
    def run(watch: bool) -> tuple[Tensor, list[Tensor]]:
        model.zero_grad()
        x = X.clone().requires_grad_()
        if watch:
            with dump_modules(model, tmp_path, fingerprint=True):
                out = model(x)
        else:
            out = model(x)
        out.square().sum().backward()
        return out, [x.grad, *(p.grad for p in model.parameters())]  # type: ignore[list-item]

    def equal(one: Any, other: Any, same: Callable[[Tensor, Tensor], bool] = torch.equal) -> bool:
        return all(map(same, one, other))

    plain, watched = run(False), run(True)
    assert torch.equal(plain[0], watched[0])
    assert equal(plain[1], watched[1])
