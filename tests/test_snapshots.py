"""`assert_matches`: a model held to a file in the repository, which is this suite's own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ait_cmp import UsageError, assert_matches

GOLDEN = Path(__file__).parent / "golden" / "small_model.fp.safetensors"
WIDTH, HEADS = 64, 4


class Block(nn.Module):
    """One of a transformer, of nothing but additions, products and exponentials."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.norm_mlp = nn.RMSNorm(WIDTH), nn.RMSNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.up, self.act, self.down = nn.Linear(WIDTH, 128), nn.SiLU(), nn.Linear(128, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        rows, length, _ = x.shape
        q, k, v = self.qkv(self.norm(x)).view(rows, length, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        mixed = (q @ k.mT / (WIDTH // HEADS) ** 0.5).softmax(-1) @ v
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        result: Tensor = x + self.down(self.act(self.up(self.norm_mlp(x))))
        return result


def small_model() -> nn.Module:
    """Its weights are counted out, since random numbers are another version's others."""
    model = nn.Sequential(*(Block() for _ in range(3)), nn.RMSNorm(WIDTH))
    for number, parameter in enumerate(model.parameters()):
        place = torch.arange(parameter.numel(), dtype=torch.float64).reshape(parameter.shape)
        wave = torch.sin(place * place * 0.7 + number)
        scale = 1 / WIDTH**0.5 if parameter.ndim > 1 else 0.1
        parameter.data = (wave * scale + (parameter.ndim == 1)).float()
    return model.eval()


X = torch.sin(torch.arange(2 * 24 * WIDTH, dtype=torch.float64) * 0.3).float().view(2, 24, WIDTH)


def test_a_small_model_gives_what_it_gave() -> None:
    """On whatever processor, with whatever version of torch."""
    found = assert_matches(small_model(), X, golden=GOLDEN)
    assert len(found.rows) == 3 * 8 + 2
    assert GOLDEN.stat().st_size < 300_000


@pytest.mark.parametrize("kind", [torch.float64])
def test_of_another_precision_it_matches(kind: torch.dtype) -> None:
    """Rounding alone differs, which is not held against it."""
    assert assert_matches(small_model().to(kind), X.to(kind), golden=GOLDEN)


FAULTS: dict[str, tuple[str, Callable[[nn.Module], object]]] = {
    "a channel of one weight": ("1.down", lambda m: m.get_parameter("weight").data[5].mul_(3)),
    "an epsilon": ("2.norm", lambda m: setattr(m, "eps", 0.3)),
    "another activation": ("0.act", lambda m: setattr(m, "forward", torch.relu)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_changes_numerics_is_named(fault: str) -> None:
    name, harm = FAULTS[fault]
    model = small_model()
    harm(model.get_submodule(name))
    with pytest.raises(AssertionError, match="does not match") as told:
        assert_matches(model, X, golden=GOLDEN)
    lines = str(told.value).splitlines()
    assert f"token 0 {name}/out0 on" in lines[1]
    assert lines[-1].endswith("pytest --update-golden")


@pytest.mark.parametrize(
    "inputs", [X, (X,), [X], {"input": X}], ids=["tensor", "tuple", "list", "mapping"]
)
def test_inputs_are_arguments(inputs: Any, tmp_path: Path) -> None:
    golden = tmp_path / "new" / "a.fp.safetensors"
    assert_matches(small_model(), inputs, golden=golden, update=True)
    again = golden.read_bytes()
    assert_matches(small_model(), inputs, golden=golden, update=True)
    assert golden.read_bytes() == again  # nothing to commit where nothing changed


def test_what_cannot_be_asserted(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--update-golden"):
        assert_matches(small_model(), X, golden=tmp_path / "a.fp.safetensors")
    with pytest.raises(UsageError, match=r"must be a file of fingerprints"):
        assert_matches(small_model(), X, golden=tmp_path / "a.pt", update=True)
    with pytest.raises(UsageError, match="no tensor"):
        assert_matches(nn.Identity(), "text", golden=tmp_path / "a.fp.safetensors", update=True)
    for none in (torch.ones(2, device="meta"), torch.eye(3).to_sparse()):
        with pytest.raises(UsageError, match="no tensor"):
            assert_matches(nn.Identity(), none, golden=tmp_path / "a.fp.safetensors", update=True)
    assert not list(tmp_path.iterdir())
    with pytest.raises(AssertionError, match="gave back nothing that is compared"):
        assert_matches(nn.ReLU(), X[:0], golden=tmp_path / "a.fp.safetensors", update=True)


TEST = """
import pytest, torch, ait_cmp
@pytest.mark.parametrize(("weight", "golden"), [(0.5, "a"), (0.75, "a"), (0.5, "none")])
def test_it(weight, golden):
    model = torch.nn.Linear(64, 64)
    torch.nn.init.constant_(model.weight, weight)
    torch.nn.init.zeros_(model.bias)
    ait_cmp.assert_matches(model, torch.ones(40, 64), golden=f"golden/{golden}.fp.safetensors")
"""


def test_pytest_updates_it_where_it_is_asked_to(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TEST)

    def run(*options: str) -> str:
        words = ["-m", "pytest", "-q", "-p", "ait_cmp.pytest_plugin", *options]
        command = [sys.executable, *words, "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
        return subprocess.run(
            [*command, "test_it.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300
        ).stdout

    assert "1 passed" in run("--update-golden", "-k", "0.5-a")
    later = run()
    assert "1 of 1 tensors" in later
    assert "none.fp.safetensors is not there" in later
    assert "2 failed, 1 passed" in later
