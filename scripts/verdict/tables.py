"""The results of the benchmark as Markdown."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from verdict.faults import FAULTS
from verdict.judged import EVERY, OURS, PEERS, SNR, Benign, Found
from verdict.sets import is_trained

__all__ = [
    "alarms",
    "by_density",
    "by_group",
    "by_kind",
    "by_rule",
    "by_strength",
    "markdown",
    "misses",
]

Group = Callable[[Benign | Found], str]


def markdown(*rows: Sequence[object]) -> str:
    """A table; the first row is its head."""
    lines = [f"| {' | '.join(map(str, row))} |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])


def kind_of_model(one: Benign | Found) -> str:
    """Whether the model is a trained one, small, or made like a trained one."""
    if is_trained(one.subject):
        return "trained"
    if one.subject.startswith(("deep.moe", "deep.gptoss")):
        return "experts, untrained"
    return "deep, untrained" if one.subject.startswith("deep") else "small, untrained"


def share(count: int, total: int) -> str:
    """As a report says it."""
    return f"{count} ({count / total:.2%})" if total else "–"


def by_group(passes: Iterable[Benign], faults: Iterable[Found], group: Group) -> str:
    """Alarms and faults found, by what `group` says of them; int8 weights and the like apart."""
    benign: dict[str, list[Benign]] = defaultdict(list)
    planted: dict[str, list[Found]] = defaultdict(list)
    for one in passes:
        benign[group(one)].append(one)
    for fault in faults:
        planted[group(fault)].append(fault)
    head = (
        "", "benign rows", "alarms", "runs with one", "faults", "found", "first",
        "right layer or later", "moved by an alarm", "not distinguishable: found",
    )  # fmt: skip
    names = dict.fromkeys((*benign, *planted))
    return markdown(head, *((name, *_sums(benign[name], planted[name])) for name in names))


def _sums(passes: Sequence[Benign], faults: Sequence[Found]) -> Iterable[str]:
    rows = sum(one.rows for one in passes)
    above = [fault for fault in faults if fault.distinguishable]
    below = [fault for fault in faults if not fault.distinguishable]
    yield f"{rows:,}"
    yield str(sum(len(one.alarms) for one in passes))
    yield f"{sum(bool(one.alarms) for one in passes)} of {len(passes)}"
    yield str(len(above))
    yield share(sum(fault.found for fault in above), len(above))
    yield share(sum(fault.first for fault in above), len(above))
    yield share(sum(fault.later for fault in above), len(above))
    yield share(sum(bool(fault.moved) for fault in faults), len(faults))
    yield f"{sum(fault.found for fault in below)} of {len(below)}"


def by_density(passes: Sequence[Benign], faults: Sequence[Found]) -> str:
    """Trained models and others, by what is dumped of them."""
    return by_group(passes, faults, lambda one: f"{kind_of_model(one)}: {one.density}")


def by_rule(passes: Sequence[Benign], faults: Sequence[Found]) -> str:
    """Our rule and those in use, side by side, where every operation is dumped."""
    passes = [one for one in passes if one.density == EVERY and not one.scheme]
    faults = [one for one in faults if one.density == EVERY and not one.scheme]
    faults = [one for one in faults if one.distinguishable]
    rows = sum(one.rows for one in passes)
    lines = []
    for name in (OURS, *PEERS):
        if name == OURS:
            counts = (
                sum(len(one.alarms) for one in passes),
                sum(fault.found for fault in faults),
                sum(fault.first for fault in faults),
            )
        else:
            counts = (
                sum(one.peers.get(name, 0) for one in passes),
                sum(name in fault.peers for fault in faults),
                sum(name in fault.peers_first for fault in faults),
            )
        lines.append((name, counts[0], *(share(count, len(faults)) for count in counts[1:])))
    head = ("rule", f"alarms of {rows:,}", f"found, of {len(faults)}", "first")
    return markdown(head, *lines)


EDGES = {
    "snr below 20": -math.inf,
    "below 1": 1.0,
    "1 to 2": 2.0,
    "2 to 3": 3.0,
    "3 to 5": 5.0,
    "5 to 10": 10.0,
    "above 10": math.inf,
}


def by_strength(faults: Iterable[Found]) -> str:
    """Our recall by how far faults stand above the rounding of what they touch."""
    groups: dict[str, list[Found]] = {name: [] for name in EDGES}
    for fault in faults:
        if fault.density == EVERY:
            rho = -math.inf if fault.snr < SNR else fault.rho
            groups[next(name for name, edge in EDGES.items() if rho <= edge)].append(fault)
    return markdown(
        ("rho", "faults", "found", "first"),
        *((name, *_counts(some)) for name, some in groups.items()),
    )


def by_kind(faults: Iterable[Found]) -> str:
    """Our recall for each kind of fault."""
    of_kind: dict[str, list[Found]] = {kind.name: [] for kind in FAULTS}
    for fault in faults:
        if fault.density == EVERY:
            of_kind[fault.kind].append(fault)
    rows = []
    for name, some in of_kind.items():
        above = [fault for fault in some if fault.distinguishable]
        below = [fault for fault in some if not fault.distinguishable]
        found = f"{sum(fault.found for fault in below)} of {len(below)}"
        rows.append((name, *_counts(above), found))
    return markdown(("kind", "faults", "found", "first", "not distinguishable: found"), *rows)


def _counts(faults: Sequence[Found]) -> tuple[int, int, int]:
    return len(faults), sum(f.found for f in faults), sum(f.first for f in faults)


def alarms(passes: Iterable[Benign]) -> list[str]:
    """Every false alarm, in words."""
    return [
        f"{one.density}, by {one.by}: {one.subject}, {one.variant}, {line}"
        for one in passes
        for line in one.alarms
    ]


def misses(faults: Iterable[Found]) -> list[str]:
    """The distinguishable faults that our rule missed or misplaced, the plainest first."""
    some = [fault for fault in faults if fault.distinguishable and not fault.first]
    ordered = sorted(some, key=lambda fault: (fault.by, fault.density, -fault.rho))
    return [_missed(fault) for fault in ordered]


def _missed(f: Found) -> str:
    moved = f"; an alarm before it, at {f.moved}" if f.moved else ""
    return (
        f"{f.density}, by {f.by}: {f.kind}; {f.subject}, {f.variant}, {f.where}: "
        f"rho {f.rho:.3g}, snr {f.snr:.3g}; "
        f"error {f.level / max(f.expected, 1e-300):.2g} times the expected one "
        f"({f.expected:.2g}); {f.sentence}{moved}"
    )
