"""A model of the benchmark of watching, and one call of it, whose memory its caller measures.

python scripts/speed/watched.py both|watch
"""

from __future__ import annotations

import sys
from typing import Any

import torch

from ait_cmp import watch

__all__ = ["LAYERS", "TOKENS", "WIDTH", "Block", "both", "given", "made_model", "watched"]

LAYERS, WIDTH, TOKENS = 24, 256, 256


class Block(torch.nn.Module):
    """Attention, of heads of 64, and a feed-forward part, as of a Llama, in 11 modules."""

    def __init__(self, width: int = WIDTH, inner: int = 4 * WIDTH) -> None:
        super().__init__()
        self.norm, self.after = torch.nn.RMSNorm(width), torch.nn.RMSNorm(width)
        self.q, self.k, self.v, self.o = (torch.nn.Linear(width, width) for _ in range(4))
        self.up, self.gate = (torch.nn.Linear(width, inner) for _ in range(2))
        self.act, self.down = torch.nn.SiLU(), torch.nn.Linear(inner, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One layer."""
        y = self.norm(x)
        q, k, v = (
            one(y).unflatten(-1, (-1, 64)).transpose(-2, -3) for one in (self.q, self.k, self.v)
        )
        seen = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.o(seen.transpose(-2, -3).flatten(-2))
        y = self.after(x)
        inner: torch.Tensor = self.down(self.act(self.gate(y)) * self.up(y))
        return x + inner


def made_model(dtype: torch.dtype = torch.float32) -> torch.nn.Module:
    """The same each time."""
    torch.manual_seed(0)
    return torch.nn.Sequential(*(Block() for _ in range(LAYERS))).to(dtype).eval()


def given(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """What it is given."""
    return torch.randn(1, TOKENS, WIDTH, generator=torch.Generator().manual_seed(1)).to(dtype)


def both(golden: torch.nn.Module, my: torch.nn.Module, x: torch.Tensor) -> None:
    """A call of each."""
    golden(x), my(x)


def watched(golden: Any, my: torch.nn.Module, x: torch.Tensor) -> None:
    """A call of my, held against golden."""
    with watch(my=my, golden=golden):
        my(x)


def main() -> None:
    """One call of both."""
    torch.set_num_threads(1)
    golden, my, x = made_model(), made_model(), given()
    with torch.no_grad():
        (both if sys.argv[1] == "both" else watched)(golden, my, x)


if __name__ == "__main__":
    main()
