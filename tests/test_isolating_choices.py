"""What modules choose by scores: what rounding alone turns is nobody's fault, all else is."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import ait_cmp
from ait_cmp import RunComparison
from ait_cmp.judging import Status
from ait_cmp.values.errors import Reason

WIDTH, EXPERTS, TOKENS = 32, 24, 400


def scored(x: torch.Tensor, weight: torch.Tensor, *, halves: bool) -> torch.Tensor:
    """The scores of a router; of other kernels, both halves of a sum are rounded by themselves."""
    if not halves:
        return nn.functional.linear(x, weight)
    (x0, x1), (w0, w1) = x.chunk(2, -1), weight.chunk(2, -1)
    return nn.functional.linear(x0, w0) + nn.functional.linear(x1, w1)


class Router(nn.Module):
    """Chooses in one of several ways, by scores that nobody else sees."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(EXPERTS, WIDTH) / WIDTH**0.5)
        self.how, self.halves, self.fault = how, False, ""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        scores = scored(x, self.weight, halves=self.halves)
        if self.fault == "bias":
            scores = scores + torch.linspace(0, 0.3, EXPERTS).to(scores)
        values, ids = _CHOOSE[self.how](scores)
        if self.fault == "off by one":
            ids = ids.logical_not() if ids.dtype is torch.bool else (ids + 1) % EXPERTS
        if self.fault == "fewer":
            values, ids = values[:, :2], ids[:, :2]
        if self.fault == "twice":
            ids[:, 1] = ids[:, 0]
        return values, ids


def _masked(scores: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return scores * mask, mask


_CHOOSE: dict[str, Callable[[torch.Tensor], Any]] = {
    "topk": lambda scores: scores.softmax(-1).topk(4),
    "unsorted": lambda scores: scores.sigmoid().topk(4, sorted=False),
    "first": lambda scores: (scores.t().topk(4, dim=0)[0], scores.t().topk(4, dim=0)[1].int()),
    "argmax": lambda scores: (scores, scores.argmax(-1)),
    "max": lambda scores: scores.max(-1),
    "least": lambda scores: scores.min(-1, keepdim=True),
    "sort": lambda scores: scores.sort(-1, descending=True),
    "mask": lambda scores: _masked(scores, scores > 0.5),
}


class Block(nn.Module):
    """Hands what was chosen on, and weighs by it."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.router, self.experts = Router(how), nn.Embedding(EXPERTS, WIDTH)
        self.up = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values, ids = self.router(x)
        out: torch.Tensor = x + self.up(x) * values.mean()
        if ids.dtype is not torch.bool:
            made = self.experts(ids.long() if ids.shape[0] == TOKENS else ids.long().t())
            out = out + (made if made.dim() == 2 else made.mean(-2))
        return out


class Inside(nn.Module):
    """Chooses by itself, and gives the experts their tokens alone: how many, is of the choice."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(EXPERTS, WIDTH) / WIDTH**0.5)
        self.experts = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(EXPERTS))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weights, ids = nn.functional.linear(x, self.weight).softmax(-1).topk(2)
        out = torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            token, place = torch.where(ids == number)
            if token.numel():
                out.index_add_(0, token, expert(x[token]) * weights[token, place, None])
        return out


INPUTS = torch.randn(TOKENS, WIDTH, generator=torch.Generator().manual_seed(5))


def models(how: str, seed: int = 0) -> tuple[nn.Module, Any]:
    """Golden, and the same in bfloat16."""
    torch.manual_seed(seed)
    golden = nn.Sequential(Block(how), nn.LayerNorm(WIDTH), Block(how))
    return golden, copy.deepcopy(golden).bfloat16()


def isolated(golden: nn.Module, my: nn.Module) -> RunComparison:
    """My beside golden."""
    found: RunComparison = ait_cmp.isolate(golden=golden, my=my, inputs=INPUTS)
    return found


def blamed(found: RunComparison) -> set[str]:
    """The modules that fail by themselves, or are in error."""
    bad = [row for row in found.rows if row.verdict.status in (Status.FAIL, Status.ERROR)]
    return {row.pair.alone.module for row in bad if row.pair.alone}


@pytest.mark.parametrize("how", _CHOOSE)
def test_near_ties_are_nobodys_fault(how: str) -> None:
    golden, my = models(how)
    my[2].router.halves = True
    found = isolated(golden, my)
    assert all(row.verdict.status is Status.PASS for row in found.rows), blamed(found)
    said = {row.pair.data_id for row in found.rows if "near ties: " in row.pair.paired_by}
    assert {"2.router/out0", "2.router/out1"} <= said  # so there was one


@pytest.mark.parametrize("fault", ["off by one", "bias", "twice"])
@pytest.mark.parametrize("how", ["topk", "unsorted", "sort"])
def test_a_choice_that_is_no_tie_is_its_modules_fault(how: str, fault: str) -> None:
    golden, my = models(how)
    my[2].router.fault = fault
    with torch.no_grad():
        my[0].up.weight[3] *= 1.5
    assert blamed(isolated(golden, my)) == {"0.up", "2.router"}


@pytest.mark.parametrize("fault", ["off by one", "bias"])
@pytest.mark.parametrize("how", ["argmax", "mask"])
def test_so_is_a_choice_of_one(how: str, fault: str) -> None:
    golden, my = models(how)
    my[0].router.fault = fault
    assert blamed(isolated(golden, my)) == {"0.router"}


def test_how_many_tokens_an_expert_gets_is_of_the_choice() -> None:
    torch.manual_seed(0)
    golden = nn.Sequential(Inside(), nn.LayerNorm(WIDTH), Inside())
    my: Any = copy.deepcopy(golden).bfloat16()
    found = isolated(golden, my)
    assert not blamed(found)
    assert any("near ties: " in row.pair.paired_by for row in found.rows)
    with torch.no_grad():
        my[0].experts[3].weight[3] *= 1.5
        my[2].weight[5] *= 3
    assert blamed(isolated(golden, my)) == {"0.experts.3", "2"}


@pytest.mark.parametrize("how", ["topk", "unsorted"])
def test_fewer_choices_are_their_modules_fault(how: str) -> None:
    golden, my = models(how)
    my[2].router.fault = "fewer"
    with torch.no_grad():
        my[0].up.weight[3] *= 1.5
    found = isolated(golden, my)
    assert blamed(found) == {"0.up", "2.router"}
    _, second = found.divergences
    assert second.pair.data_id == "2.router/out0"
    assert second.verdict.divergence.endswith(
        "itself: on the same inputs golden's module makes the shape [400, 4], my's [400, 2]"
    )
    (behind,) = [row for row in found.rows if row.verdict.follows.endswith("2.router/out0")]
    assert behind.pair.data_id == "2.router/out1"


class Bucketed(nn.Module):
    """Whole numbers of floating ones; in steps so fine, that rounding makes another of most."""

    def __init__(self, steps: float) -> None:
        super().__init__()
        self.steps = nn.Parameter(torch.tensor(steps))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x * self.steps).long()


def test_whole_numbers_are_as_golden_makes_them_in_mys_types() -> None:
    golden = nn.Sequential(Bucketed(0.31))
    found = isolated(golden, copy.deepcopy(golden).bfloat16())
    (row,) = [row for row in found.rows if row.pair.data_id == "0/out0"]
    assert row.verdict.status is Status.PASS

    golden = nn.Sequential(Bucketed(1e4))
    found = isolated(golden, copy.deepcopy(golden).bfloat16())
    (row,) = [row for row in found.rows if row.pair.data_id == "0/out0"]
    assert (row.verdict.status, row.verdict.reason) == (Status.SKIPPED, Reason.UNJUDGED)
