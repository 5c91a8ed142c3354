"""No drawn run with a blatant fault passes, and no tensor file is without a row."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from drawn.build import Built, build, golden_tensors, honest, plant, victim
from drawn.faults import planted
from drawn.mishaps import MISHAPS
from drawn.plan import Plan, plans
from drawn.search import lost_files, plant_and_compare
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from ait_cmp.__main__ import main

SEED = int(os.environ.get("AIT_CMP_SEED", random.randrange(10**6)))


def drawn(examples: int) -> settings:
    """So many; which they were says the seed, which pytest shows of a test that fails."""
    return settings(
        max_examples=examples,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    print(f"AIT_CMP_SEED={SEED}")
    logging.disable(logging.WARNING)  # of which drawn runs give hundreds
    yield
    logging.disable(logging.NOTSET)


@seed(SEED)
@drawn(150)
@given(plan=plans())
def test_no_run_with_a_blatant_fault_passes(plan: Plan) -> None:
    plant_and_compare(plan)


@seed(SEED)
@drawn(50)
@given(plan=plans(), mishap=st.sampled_from(MISHAPS), place=st.integers(0, 999))
def test_no_tensor_file_is_without_a_row(plan: Plan, mishap: str, place: int) -> None:
    lost_files(plan, mishap, place)


def test_no_run_with_a_blatant_fault_passes_the_command(tmp_path: Path) -> None:
    found: list[Plan] = []

    @seed(SEED)
    @drawn(60)
    @given(plan=plans())
    def draw(plan: Plan) -> None:
        if plant_and_compare(plan).what == "seen":
            found.append(plan)

    draw()
    for number, plan in enumerate(found[:20]):
        words = faulty(plan, tmp_path / str(number)).words()
        assert main(words) in (1, 3), words
    assert number == 19


def faulty(plan: Plan, folder: Path) -> Built:
    golden, my = honest(plan, golden_tensors(plan))
    struck = victim(plan)
    wrong = planted(plan, struck, golden, my)
    assert wrong is not None
    built = build(plan, folder, golden, my)
    plant(plan, built, golden, my, wrong)
    return built
