"""Sweeps: each job leaves a record in its folder, the records make one merged report.

Records are files, so that it does not matter in which process or on which machine the
launcher ran a job, or that a later job raised.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from ait_cmp.files.output import no_links, own_folder, write_whole
from ait_cmp.settings.in_force import in_force
from ait_cmp.settings.launched import jobs_may_die
from ait_cmp.settings.schema import Config
from ait_cmp.values.errors import AitCmpError, ReportError, UsageError, os_reason
from ait_cmp.values.paths import is_url, public

__all__ = [
    "Job",
    "JobRecord",
    "RememberSweep",
    "Sweep",
    "SweepRefused",
    "in_job_folder",
    "job_record",
    "take_current",
]

_SWEEP_ID = "AIT_CMP_SWEEP"
_RECORD = "job.json"


@dataclass(frozen=True, slots=True)
class JobRecord:
    """How one job of a sweep ended; written to its folder."""

    sweep: str
    number: int
    overrides: list[str]
    status: int

    def write(self, folder: Path) -> None:
        """Leave this record in the job's folder."""
        own_folder(folder)
        write_whole(folder / _RECORD, json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> JobRecord | None:
        """The record at `path`; None for what is none, which is not of a sweep that just ran."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None


@dataclass(frozen=True, slots=True)
class Job:
    """A job that ended; `name` is what it was given that not every job was."""

    name: str
    folder: Path
    status: int


@dataclass(frozen=True, slots=True)
class Sweep:
    """The sweep that this process started; `held` keeps others out of its output, `dead` tells of
    jobs that ended without a record."""

    sweep: str
    folder: Path
    output: Path
    formats: tuple[str, ...] | None
    worst: int
    details: int
    started: datetime
    settings: Mapping[str, str]
    held: ExitStack
    dead: list[str]

    def records(self) -> list[tuple[JobRecord, Path]]:
        """What the jobs of this sweep that ended left, in order, and in which folders."""
        found: list[tuple[JobRecord, Path]] = []
        for path in self.folder.glob(f"*/{_RECORD}"):
            record = JobRecord.read(path)
            if record and record.sweep == self.sweep:
                found.append((record, path.parent))
        found.sort(key=lambda pair: pair[0].number)
        return found

    def numbers(self) -> set[int]:
        """Those of the jobs that ended."""
        return {record.number for record, _ in self.records()}

    def jobs(self) -> list[Job]:
        """The jobs of this sweep that ended, in order."""
        found = self.records()
        given = [set(record.overrides) for record, _ in found]
        common = set.intersection(*given) if len(given) > 1 else set()
        return [
            Job(
                ",".join(one for one in record.overrides if one not in common),
                folder,
                record.status,
            )
            for record, folder in found
        ]


_current: Sweep | None = None


def take_current() -> Sweep | None:
    """The sweep that was started in this process since the last call; None when there was none."""
    global _current
    taken, _current = _current, None
    return taken


class SweepRefused(BaseException):
    """The sweep must not begin, because of `error`. No Exception: Hydra goes on after those."""

    def __init__(self, error: AitCmpError) -> None:
        super().__init__(error)
        self.error = error


class RememberSweep(Callback):
    """Notes where a sweep goes when it starts; the end is not left to a callback, since Hydra
    skips it when a job raises."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Called by Hydra in the process that starts the sweep."""
        global _current
        _current = None
        if is_url(config.output):
            sentence = f"output={public(config.output)}: the jobs of a sweep write to a folder of "
            raise SweepRefused(UsageError(f"{sentence}this machine; name one, and copy it"))
        folder, output = Path(config.hydra.sweep.dir), Path(config.output)
        sweep_id = f"s{uuid.uuid4().hex}"
        with read_write(config), open_dict(config):
            # Reaches the jobs, in whatever process, on whatever machine they run.
            config.hydra.overrides.hydra.append(f"++hydra.job.env_set.{_SWEEP_ID}={sweep_id}")
        _current = sweep = Sweep(
            sweep_id,
            folder,
            output,
            _formats(config.report.formats),
            config.report.worst,
            config.report.details,
            datetime.now(UTC),
            _common_settings(config),
            _hold(output, folder),
            [],
        )
        launcher = str(config.hydra.launcher.get("_target_"))
        sweep.held.enter_context(jobs_may_die(launcher, sweep.numbers, sweep.dead))


def _hold(output: Path, folder: Path) -> ExitStack:
    """Keep others out of `output`, and Hydra from writing to other places than the job `folder`.

    Raises SweepRefused.
    """
    from ait_cmp.measuring.store import holding  # heavy, and every typo imports this module

    held = ExitStack()
    try:
        held.enter_context(holding(output))
        no_links(*sorted(own_folder(folder).iterdir()))
    except AitCmpError as exc:
        held.close()
        raise SweepRefused(exc) from exc
    except OSError as exc:
        held.close()
        sentence = f"{folder} cannot be written to: {os_reason(exc)}; choose another output=…"
        raise SweepRefused(ReportError(sentence)) from exc
    return held


def _formats(given: Iterable[str] | None) -> tuple[str, ...] | None:
    return None if given is None else tuple(dict.fromkeys(given))


def _common_settings(config: DictConfig) -> dict[str, str]:
    """As text, as they are where no job says otherwise; nothing where one is missing, which each
    job will say."""
    common = config.copy()
    with read_write(common), open_dict(common):
        del common["hydra"]
    try:
        return in_force(OmegaConf.to_object(common))
    except OmegaConfBaseException:
        return {}


def in_job_folder(values: Config, folder: Path) -> Config:
    """`values` as a job of a sweep has them: its report lies in its own folder, and is shown when
    it is merged, of its exact form."""
    formats = list(dict.fromkeys((*(values.report.formats or ("csv",)), "parquet")))
    report = replace(values.report, formats=formats, worst=0)
    return replace(values, output=str(folder), report=report)


def job_record(number: int, overrides: list[str], status: int) -> JobRecord:
    """The record of a job of the sweep that it runs in."""
    return JobRecord(os.environ.get(_SWEEP_ID, ""), number, overrides, status)
