"""A finished run on disk: kept beside its report, and taken from there to be judged again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, astuple, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from ait_cmp.commands.judged_rows import JudgedRows
from ait_cmp.commands.shards import Remark, Settled
from ait_cmp.engine.parts import Parts
from ait_cmp.engine.request import Wanted
from ait_cmp.judging import Tolerance
from ait_cmp.judging.comparison import MetricChoice
from ait_cmp.measuring.run_record import (
    RECORD,
    Recorded,
    read_header,
    read_record,
    unpacking,
    write_record,
)
from ait_cmp.measuring.store import NAME, facts_of, write_finished
from ait_cmp.measuring.stored_run import load
from ait_cmp.report import Facts, Table
from ait_cmp.settings.tolerances import plain_tolerance, tolerance_from_plain
from ait_cmp.values.diagnosis import Diagnosis
from ait_cmp.values.errors import ReportError, UsageError, os_reason

__all__ = [
    "Run",
    "forget",
    "keep",
    "kept",
    "require_stats",
    "settings_of",
    "write_stats",
]


@dataclass(frozen=True, slots=True)
class Run:
    """All of a run: what was measured, by what it was judged, the rows, which say what was found to
    explain them, and its facts; the table of its rows, where it was made."""

    settled: Settled
    tolerance: Tolerance
    metrics: MetricChoice
    rows: JudgedRows
    facts: Facts = field(default_factory=Facts)
    table: Table | None = None


def keep(run: Run, folder: Path) -> None:
    """Leave what `kept` reads, beside the stats. Raises ReportError."""
    facts = asdict(run.facts)
    facts["started"] = run.facts.started and run.facts.started.isoformat()
    header = {
        "tolerance": plain_tolerance(run.tolerance),
        "metrics": asdict(run.metrics),
        "facts": facts,
    }
    write_record(folder, header, _recorded(run))


def forget(folder: Path) -> None:
    """No run is kept in `folder`: an older one would be taken for that of a new report.

    Raises ReportError.
    """
    path = folder / RECORD
    try:
        path.unlink(missing_ok=True)
    except OSError as exc:
        raise ReportError(
            f"{path} is of an older run, and cannot be removed: {os_reason(exc)}; remove it"
        ) from exc


def kept(folder: Path) -> Run:
    """The run in `folder`, judged as it was. Raises UsageError where there is none."""
    record = read_record(folder, folder / NAME)
    with unpacking(folder):
        more = record.more.items()
        remarks = {one: Remark(*said["remark"]) for one, said in more if "remark" in said}
        settled = Settled(record.pairs, record.measured, record.references, remarks)
        tolerance, metrics, facts = _of_header(record.header)
        known = {
            one: Diagnosis.unpacked(said["diagnosis"]) for one, said in more if "diagnosis" in said
        }
    return Run(settled, tolerance, metrics, JudgedRows(settled, tolerance, metrics, known), facts)


def settings_of(folder: Path) -> Mapping[str, str]:
    """The settings that were in force. Raises UsageError where no run is kept in `folder`."""
    with unpacking(folder):
        return dict(read_header(folder)["facts"]["settings"])


def require_stats(folder: Path, wanted: Wanted) -> None:
    """Raises UsageError where the stats in `folder` lack what is wanted of them."""
    facts = load(folder / NAME).facts
    has = Parts(**facts["parts"])
    if has | wanted.parts != has:
        raise UsageError(
            f"the stats in {folder} lack sums that these metrics or this tolerance need, since "
            "metrics.names left them out; compare again"
        )
    if facts["epsilon"] != wanted.epsilon and wanted.parts.relative:
        raise UsageError(
            f"metrics.epsilon={wanted.epsilon} is not that of the stats in {folder}, "
            f"{facts['epsilon']}; compare again"
        )


def write_stats(run: Run, folder: Path) -> None:
    """What was measured of a run that kept no store. Raises ReportError."""
    epsilon = float(run.facts.settings["metrics.epsilon"])
    wanted = Wanted(epsilon, run.metrics.needs(run.tolerance))
    write_finished(folder, facts_of(wanted, None), _packed(run.settled))


def _packed(settled: Settled) -> Iterator[bytes]:
    """What was measured of each pair, and of its reference, as bytes."""
    for number, pair in enumerate(settled.pairs):
        for of, rows in ((pair, settled.measured), (pair.reference, settled.references)):
            if of is not None and rows.is_compared(number):
                yield rows.packed(number)


def _recorded(run: Run) -> Iterator[Recorded]:
    settled, diagnoses = run.settled, run.rows.diagnoses
    for number, pair in enumerate(settled.pairs):
        remark = settled.remarks.get(number)
        more: dict[str, Any] = {}
        if remark:
            more["remark"] = astuple(remark)
        if diagnosis := diagnoses.get(number):
            more["diagnosis"] = diagnosis.packed()
        measured, reference = settled.measured.said(number), settled.references.said(number)
        yield Recorded(pair, measured, reference, more)


def _of_header(header: Mapping[str, Any]) -> tuple[Tolerance, MetricChoice, Facts]:
    facts, metrics = dict(header["facts"]), header["metrics"]
    if facts["started"]:
        facts["started"] = datetime.fromisoformat(facts["started"])
    extra = tuple(metrics.get("extra", ()))  # which an older version did not have
    choice = MetricChoice(metrics["definition"], tuple(metrics["names"]), extra)
    return tolerance_from_plain(header["tolerance"], extra), choice, Facts(**facts)
