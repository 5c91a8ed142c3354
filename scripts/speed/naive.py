"""What users do today: both tensors read whole, each metric a torch expression over all of it.

python scripts/speed/naive.py GOLDEN.pth MY.bin
"""

from __future__ import annotations

import sys
from array import array
from pathlib import Path

import torch
from torch import Tensor

__all__ = ["naive_metrics", "read_bin"]

_DTYPES = {0: torch.float32, 1: torch.float16, 27: torch.bfloat16}


def read_bin(path: Path) -> Tensor:
    """An ATB `.bin` file, read as the scripts in circulation read it."""
    header, _, data = path.read_bytes().partition(b"$End=1\n")
    values = dict(line.split("=", 1) for line in header.decode().splitlines())
    flat = torch.frombuffer(array("b", data), dtype=_DTYPES[int(values["dtype"])])
    return flat.view([int(size) for size in values["dims"].split(",")])


def naive_metrics(golden: Tensor, my: Tensor) -> dict[str, float]:
    """The metrics over two whole tensors in float32, cosine in float64."""
    g, m = golden.reshape(-1).float(), my.reshape(-1).float()
    error = (m - g).abs()
    above = g.abs() > 2.0**-23
    relative = (m - g)[above].abs() / g[above].abs()
    p, log_q = torch.softmax(g, 0), torch.log_softmax(m, 0)
    return {
        "golden_max": g.max().item(),
        "golden_min": g.min().item(),
        "golden_mean": g.mean().item(),
        "my_max": m.max().item(),
        "my_min": m.min().item(),
        "my_mean": m.mean().item(),
        "golden_nonfinite": (~torch.isfinite(g)).sum().item(),
        "my_nonfinite": (~torch.isfinite(m)).sum().item(),
        "cosine_similarity": torch.cosine_similarity(g.double(), m.double(), dim=0).item(),
        "max_absolute_error": error.max().item(),
        "mean_absolute_error": error.mean().item(),
        "max_relative_error": relative.max().item(),
        "mean_relative_error": relative.mean().item(),
        "kl_divergence": torch.nn.functional.kl_div(log_q, p, reduction="sum").item(),
        "relative_euclidean_distance": ((m - g).norm() / g.norm()).item(),
        "rmse": (m - g).square().mean().sqrt().item(),
        "mismatch_ratio": (error > 1e-5 + 1.3e-6 * g.abs()).float().mean().item(),
        "exact_match": (m == g).float().mean().item(),
        "one_thousandth_ratio": (relative < 0.001).float().mean().item(),
        "five_thousandths_ratio": (relative < 0.005).float().mean().item(),
    }


if __name__ == "__main__":
    print(naive_metrics(torch.load(sys.argv[1]), read_bin(Path(sys.argv[2]))))
