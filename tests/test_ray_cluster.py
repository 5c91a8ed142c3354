"""What is decided about the nodes of a cluster, without one: tests_ray has the rest."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from ait_cmp.engine.request import Request, Wanted
from ait_cmp.measuring.executor import ray_cluster, ray_node
from ait_cmp.measuring.plan import Task, make_plan
from ait_cmp.measuring.progress import Progress
from ait_cmp.report.progress import painted_progress
from ait_cmp.values.location import Location


@pytest.mark.parametrize(
    ("workers", "shares"),
    [
        (None, {"a": 4, "b": 2, "c": 1}),
        (1, {"a": 1, "b": 0, "c": 0}),
        (4, {"a": 3, "b": 1, "c": 0}),  # each has one core left
        (9, {"a": 4, "b": 2, "c": 1}),
    ],
)
def test_workers_leave_each_node_as_many_cores(workers: int | None, shares: dict[str, int]) -> None:
    assert ray_cluster._shares({"a": 4, "b": 2, "c": 1}, workers) == shares


def test_nodes_are_called_by_their_hosts_and_by_more_where_that_is_not_enough() -> None:
    told = [
        {"NodeID": "1234567890", "NodeManagerHostname": "one", "NodeName": "x"},
        {"NodeID": "2", "NodeManagerHostname": "two", "NodeName": "x"},
        {"NodeID": "3", "NodeManagerHostname": "two", "NodeName": "y"},
        {"NodeID": "4444444444", "NodeManagerHostname": "three", "NodeName": "z"},
        {"NodeID": "5555555555", "NodeManagerHostname": "three", "NodeName": "z"},
    ]
    names = ["one", "two/x", "two/y", "three/44444444", "three/55555555"]
    assert list(ray_cluster._names(told).values()) == names


@pytest.fixture
def task(tmp_path: Path) -> Task:
    """Three pairs, as they were planned; then the second changes, and the third goes."""
    requests = []
    for number in range(3):
        path = tmp_path / f"{number}.npy"
        np.save(path, np.full(4, number))
        both = Location.of(str(path))
        requests.append((number, Request(both, both, Wanted(2.0**-23))))
    (planned,) = make_plan(requests).tasks
    os.utime(tmp_path / "1.npy", ns=(1, 1))
    (tmp_path / "2.npy").unlink()
    return planned


def test_a_node_that_sees_other_files_gives_no_rows(task: Task) -> None:
    reply = ray_node._rows_if_seen(task.requests, mapped=True)
    assert isinstance(reply, ray_node.Unseen)
    assert (reply.places, reply.there) == ((1, 2), True)
    assert ray_node._rows_if_seen(task.requests[:1], mapped=True) != reply
    gone = ray_node._rows_if_seen(task.requests[2:], mapped=True)
    assert gone == ray_node.Unseen((0,), task.requests[2].my.files[0], there=False)


def test_what_this_machine_sees_otherwise_too_is_no_fault_of_a_node(task: Task) -> None:
    as_planned = [ray_cluster._is_as_planned(one) for one in task.requests]
    assert as_planned == [True, False, False]
    rest, changed, missing = ray_cluster._apart(task, (1, 2))
    assert (rest.pairs, changed.pairs, missing.pairs) == ((0,), (1,), (2,))
    assert (changed.requests[0].seen, changed.here, missing.here) == (0, False, True)


def test_a_node_of_another_version_says_so() -> None:
    node = ray_cluster._worker_class()()
    said = node.begin(("0.0.9", "of its sources"), os.getcwd(), (1, None, None))
    assert said.endswith("and this machine 0.0.9; install the same there")


@pytest.mark.parametrize(
    ("nodes", "told"),
    [
        ({"one": 7}, ""),
        ({"two": 3, "one": 7}, " (one 7, two 3)"),
        ({str(number): number for number in range(5)}, " (5 nodes, 0 to 4 each)"),
    ],
)
def test_progress_tells_what_each_node_did(nodes: dict[str, int], told: str) -> None:
    file, now = io.StringIO(), [0.0]
    with painted_progress(Console(file=file), lambda: now[0]) as show:
        show(Progress(0, 100, 0, 0))
        now[0] = 60.0
        show(Progress(10, 100, 0, 0, nodes))
    assert file.getvalue().splitlines()[-1].startswith("compared 10 of 100 rows in ")
    assert file.getvalue().splitlines()[-1].endswith(told or "0:01:00")
