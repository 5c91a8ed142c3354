"""Executors side by side: rows and bytes a second by workers, nodes and entries, once started.

The nodes are Ray's on this machine, several where there are more workers than cores: what is shown
is what an executor costs, and not how fast more machines are.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path

from ait_cmp.engine.request import Request
from ait_cmp.measuring.executor import EXECUTORS, Execute, WorkerLimits
from ait_cmp.measuring.plan import Task, make_plan
from ait_cmp.values.location import Location
from speed.command import MIB, make_pairs, requests_of
from speed.rows import Row

__all__ = ["scale_rows"]

WORKERS = (1, 2, 4, 8)
ENTRIES = (1_000, 10_000, 100_000)
EMPTY = 1_000  # tasks that ask for nothing: what is left is the way there and back
_FILES = 1_000  # different pairs; more entries come back to them


def scale_rows(folder: Path) -> Iterator[Row]:
    """What each executor does with small pairs, with large ones, and with nothing; and the same
    pairs from a bucket."""
    small = requests_of(make_pairs(folder / "small", _FILES, 2048))
    large = requests_of(make_pairs(folder / "large", 24, 8 * MIB))
    for name, workers, execute in _executors():
        # All sizes of a run where there is a worker a core, else the middle one.
        counts = ENTRIES if workers == 2 or name == "serial" else ENTRIES[1:2]
        yield from _of_one(f"{name}, {workers} workers", execute, small, large, counts)
    yield from _from_a_bucket(folder)


def _of_one(
    name: str,
    execute: Execute,
    small: list[tuple[int, Request]],
    large: list[tuple[int, Request]],
    counts: tuple[int, ...],
) -> Iterator[Row]:
    _warm(execute, make_plan(small[:200]).tasks, nodes=2 if "2 nodes" in name else 1)
    for count in counts:
        asked = [(number, small[number % len(small)][1]) for number in range(count)]
        took = _seconds(execute, make_plan(asked).tasks)
        yield _row(f"{name}: rows/s of {count:,} entries", count / took, took)
    took = _seconds(execute, make_plan(large).tasks)
    size = len(large) * 2 * 16 * MIB
    yield _row(f"{name}: MB/s of pairs of 16 MiB", size / took / 1e6, took)
    took = _seconds(execute, [Task((), ())] * EMPTY)
    yield _row(f"{name}: ms a task", took / EMPTY * 1e3, took)


def _warm(execute: Execute, tasks: Sequence[Task], nodes: int) -> None:
    """Until so many nodes have answered."""
    seen: set[str] = set()
    while len(seen) < nodes:
        seen |= {answer.node for answer in execute(tasks)}


def _from_a_bucket(folder: Path) -> Iterator[Row]:
    """The same pairs from disk and from a bucket on loopback, whose server is one thread of Python:
    what is shown is what asking costs, and not what a store gives."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    secrets = {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    os.environ.update(secrets, AWS_ENDPOINT_URL=f"http://{host}:{port}")
    try:
        dump = make_pairs(folder / "bucket", 200, 2048)
        sides = [requests_of(dump), _uploaded(dump)]
        with EXECUTORS["serial"].start(WorkerLimits(), 0) as execute:
            for side, requests in zip(("disk", "a bucket"), sides, strict=True):
                _warm(execute, make_plan(requests[:20]).tasks, nodes=1)
                took = _seconds(execute, make_plan(requests).tasks)
                yield _row(f"serial, from {side}: rows/s of 200 entries", 200 / took, took)
    finally:
        server.stop()


def _uploaded(dump: Path) -> list[tuple[int, Request]]:
    import boto3

    client = boto3.client("s3", region_name="us-east-1")
    client.create_bucket(Bucket="dumps")
    for path in dump.rglob("*"):
        if path.is_file():
            client.upload_file(str(path), "dumps", str(path.relative_to(dump)))
    return [
        (number, replace(one, golden=_in_bucket(dump, one.golden), my=_in_bucket(dump, one.my)))
        for number, one in requests_of(dump)
    ]


def _in_bucket(dump: Path, location: Location) -> Location:
    return Location.of(f"s3://dumps/{Path(location.files[0]).relative_to(dump)}")


def _seconds(execute: Execute, tasks: Sequence[Task]) -> float:
    begun = time.perf_counter()
    for _ in execute(tasks):
        pass
    return time.perf_counter() - begun


def _row(name: str, figure: float, took: float) -> Row:
    return Row(f"scale {name}", figure, "", True, f"{took:.2f} s")


def _executors() -> Iterator[tuple[str, int, Execute]]:
    """Each, entered, with its name and its workers."""
    with EXECUTORS["serial"].start(WorkerLimits(), 0) as execute:
        yield "serial", 1, execute
    for workers in WORKERS:
        with EXECUTORS["processes"].start(WorkerLimits(workers=workers), 0) as execute:
            yield "processes", workers, execute
    for nodes in (1, 2):
        with _cluster(nodes, max(WORKERS) // nodes) as address:
            for workers in islice(WORKERS, nodes - 1, None):
                limits = WorkerLimits(workers=workers, address=address)
                with EXECUTORS["ray"].start(limits, 0) as execute:
                    yield f"ray, {nodes} nodes", workers, execute


@contextmanager
def _cluster(nodes: int, cores: int) -> Iterator[str]:
    """The address of one of so many nodes, with so many cores each by name."""
    from ray.cluster_utils import Cluster

    with ExitStack() as stack:
        told = {"num_cpus": cores, "object_store_memory": 200 * MIB, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=told)
        stack.callback(cluster.shutdown)
        for _ in range(nodes - 1):
            cluster.add_node(num_cpus=cores, object_store_memory=200 * MIB)
        yield cluster.address
