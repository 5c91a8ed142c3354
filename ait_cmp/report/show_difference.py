"""What a person sees of two runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from ait_cmp.files.staging import named
from ait_cmp.report.console import plain
from ait_cmp.report.difference import CHANGES, SIDES, Difference, called, changed_rows
from ait_cmp.values.text import counted

__all__ = ["show_difference"]

_LONGEST = 160  # characters of why a row does not pass


def show_difference(difference: Difference, paths: Sequence[Path], worst: int) -> None:
    """The answer, and the first `worst` rows of each change."""
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"[bold]{plain(str(difference))}[/]")
    if difference.judged:
        console.print(f"[yellow]{plain(difference.judged)}[/]")
    if difference.ambiguous:
        console.print(
            f"{counted(difference.ambiguous, 'row')} with the name, token and rank of another: "
            "joined in their order, which is a guess"
        )
    for change, count, rows in changed_rows(difference, worst) if worst else ():
        meaning, regressed = CHANGES[change]
        colour = "red" if regressed else "green" if change in ("fixed", "better") else "yellow"
        console.print(f"[{colour}]{count} {change}[/]: {meaning}")
        for line in rows:
            console.print(f"  {plain(_told(line))}")
        if count > worst:
            console.print(f"  and {count - worst} more")
    for path in paths:
        console.print(f"difference: {plain(named(str(path)))}")


def _told(line: Mapping[str, Any]) -> str:
    said = [called(line)]
    statuses = [
        " ".join(filter(None, (line[f"{side}_status"], line[f"{side}_reason"]))) for side in SIDES
    ]
    if statuses[0] != statuses[1]:
        said.append(" -> ".join(one or "not there" for one in statuses))
    errors = [line[f"{side}_error_level"] for side in SIDES]
    if None not in errors and errors[0] != errors[1]:
        said.append(f"error {errors[0]:.3g} -> {errors[1]:.3g} of golden")
    astray = [line[f"{side}_nonfinite"] for side in SIDES]
    if statuses[0] == statuses[1] and None not in astray and astray[0] != astray[1]:
        said.append(f"non-finite elements differ: {astray[0]} -> {astray[1]}")
    if statuses[0] != statuses[1] and line["new_cmp_fail_reason"]:
        said.append(line["new_cmp_fail_reason"][:_LONGEST])
    return f"{said[0]}: {'; '.join(said[1:])}" if said[1:] else said[0]
