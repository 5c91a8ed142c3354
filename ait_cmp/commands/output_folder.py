"""Where `--output` says that things go: refused before anything is run for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ait_cmp.files.staging import near_output, staged
from ait_cmp.values.errors import AitCmpError, UsageError, os_reason
from ait_cmp.values.paths import is_url

__all__ = ["local_output", "output_folder", "report_folder", "said_of_option"]


def local_output(path: str) -> str:
    """The absolute path, since the command may change folders. Raises UsageError for one that is
    not of this machine."""
    if is_url(path):
        raise UsageError(f"--output {path} must be a folder of this machine; copy it there later")
    return os.path.abspath(path)


def output_folder(path: str) -> Path:
    """A folder of this machine, made if it is not there. Raises UsageError where it cannot be
    written to."""
    folder = local_output(path)
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as exc:
        raise UsageError(f"--output {path} cannot be made a folder: {os_reason(exc)}") from exc
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"--output {path} may not be written to; choose another folder")
    return Path(folder)


@contextmanager
def report_folder(path: str) -> Iterator[Path]:
    """The folder of a report, while it is made; in the end it is in a bucket, if `path` is one.
    Raises UsageError, ReportError."""
    if not is_url(path):
        yield output_folder(path)
        return
    folder = near_output(path)
    with staged(folder, stats=False):
        yield folder


def said_of_option(exc: AitCmpError) -> str:
    """What went wrong, to somebody who wrote an option and no setting."""
    return str(exc).replace("output=…", "--output")
