"""Ray joined, or started for one run: silent, and nothing of it left behind."""

from __future__ import annotations

import functools
import logging
import os
import secrets
import shutil
import signal
import socket
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from ait_cmp.measuring.executor.base import WorkerLimits
from ait_cmp.measuring.executor.processes import worker_count
from ait_cmp.values.errors import UsageError, os_reason

__all__ = ["connected", "interrupts_wait"]

# No telemetry, no tips, no events of the scheduler.
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_SCHEDULER_EVENTS": "0",
}
_OBJECTS = 256 << 20  # bytes of shared memory; answers are small, and do not stay
_SHORT = "/tmp"  # noqa: S108  what is made there has a name of its own
_LONGEST = 40  # characters of a folder in which Ray's sockets still have a name that is allowed
_ANSWERING = 10.0  # seconds
_KIND, _SETTINGS = 3, b"\x04"  # the place of a frame's type, and this one
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0" + _SETTINGS + b"\0" * 5
_SILENT = logging.CRITICAL + 1


@contextmanager
def connected(limits: WorkerLimits) -> Iterator[Any]:
    """The module `ray`, connected to the cluster at `limits.address` or to one of this run alone.

    What this process is connected to already is used, and left as it is. Raises UsageError where
    Ray is missing, and where there is no such cluster.
    """
    with ExitStack() as stack:
        stack.enter_context(_environment(_ENVIRONMENT))
        ray = _import()
        stack.enter_context(_silent())  # now, since importing it sets up its loggers
        if not ray.is_initialized():
            if limits.address is None:
                stack.enter_context(_own(ray, worker_count(limits)))
            else:
                stack.enter_context(_joined(ray, limits.address))
        yield ray


def _import() -> Any:
    try:
        with _no_warnings():
            import ray
    except ImportError as exc:
        raise UsageError(
            f"executor=ray needs Ray ({exc}); install it: pip install 'ait-cmp[ray]'"
        ) from exc
    return ray


@contextmanager
def _own(ray: Any, cores: int) -> Iterator[None]:
    """A Ray on this machine, with a folder that is gone in the end."""
    parent = tempfile.gettempdir()
    if len(parent) > _LONGEST:
        parent = _SHORT
    folder = tempfile.mkdtemp(prefix="ait_cmp_", dir=parent)
    try:
        with _environment(_secret()):
            _init(
                ray,
                "local",
                num_cpus=cores,
                include_dashboard=False,
                object_store_memory=_OBJECTS,
                _temp_dir=folder,
            )
            yield
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


@functools.cache  # Ray reads it once in a process
def _secret() -> dict[str, str]:
    """With it nobody else here has code run by our Ray, which by itself keeps one at home."""
    return {"RAY_AUTH_TOKEN": secrets.token_hex(16)}


@contextmanager
def _joined(ray: Any, address: str) -> Iterator[None]:
    if "://" in address:
        raise UsageError(
            f"executor.address={address} is for Ray's client, by which nothing is compared; run "
            "this on a node of the cluster, and pass HOST:PORT as ray start was given, or auto"
        )
    try:
        _probe(address)
        _init(ray, address)
        yield
    finally:
        ray.shutdown()


def _probe(address: str) -> None:
    """Raises UsageError where no Ray listens: it would go on asking for minutes, and say so."""
    given = os.environ.get("RAY_ADDRESS") if address == "auto" else None
    host, _, port = (given or address).rpartition(":")
    if port.isdecimal():
        try:
            with socket.create_connection((host.strip("[]"), int(port)), _ANSWERING) as there:
                is_ray = _greets(there)
        except OSError as exc:
            raise _nobody_at(address, os_reason(exc)) from exc
        if not is_ray:
            raise _nobody_at(address, "what answers there is no Ray")


def _greets(there: socket.socket) -> bool:
    """Whether HTTP/2 is spoken, as gRPC and so Ray does: both sides begin with their settings (RFC
    9113, 3.4)."""
    if os.environ.get("RAY_USE_TLS") == "1":
        return True
    there.sendall(_PREFACE)
    answer = b""
    while len(answer) <= _KIND and (more := there.recv(_KIND + 1)):
        answer += more
    return answer[_KIND : _KIND + 1] == _SETTINGS


def _nobody_at(address: str, why: str) -> UsageError:
    return UsageError(
        f"executor.address={address}: no Ray cluster can be joined there ({why}); run this on one "
        "of its nodes, and pass the address that ray start was given, or auto"
    )


def _init(ray: Any, address: str, **more: Any) -> None:
    try:
        with _same_sigterm(), _no_warnings():
            ray.init(address=address, configure_logging=False, log_to_driver=False, **more)
    except (OSError, RuntimeError, ValueError, AssertionError) as exc:
        first = (str(exc).strip().splitlines() or [type(exc).__name__])[0]
        if address == "local":
            raise UsageError(f"Ray cannot be started on this machine: {first}") from exc
        raise _nobody_at(address, first) from exc


@contextmanager
def _silent() -> Iterator[None]:
    """Ray's loggers say nothing."""
    logger = logging.getLogger("ray")
    level = logger.level
    logger.setLevel(_SILENT)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def _no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _same_sigterm() -> Iterator[None]:
    """What a signal to end does stays what it was: Ray replaces it."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """These variables, where the user has not set them; those that Ray sets go with them."""
    before = set(os.environ)
    os.environ.update({name: value for name, value in values.items() if name not in before})
    try:
        yield
    finally:
        for name in [one for one in os.environ if one.startswith("RAY_") and one not in before]:
            del os.environ[name]


@contextmanager
def interrupts_wait() -> Iterator[None]:
    """Ctrl-C does nothing meanwhile."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
