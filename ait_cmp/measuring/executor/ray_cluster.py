"""The nodes of a Ray cluster: each has worker processes, and what a lost one had goes to others.

A node is one actor, which takes as many cores as it has workers (`ray_node`); tasks go to the node
that is least busy, each node having two a worker. Ray itself retries nothing: what fails is
supervised as in every executor.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ait_cmp
from ait_cmp.engine import digest
from ait_cmp.engine.request import Request
from ait_cmp.files import exists
from ait_cmp.measuring.executor.base import Answer, Execute, WorkerLimits
from ait_cmp.measuring.executor.ray_connection import connected, interrupts_wait
from ait_cmp.measuring.executor.ray_node import Reply, Unseen
from ait_cmp.measuring.executor.serial import ThisProcess
from ait_cmp.measuring.executor.supervision import Failure, Workers, supervise
from ait_cmp.measuring.plan import Task, seen_now, watched
from ait_cmp.values.errors import Reason, UsageError
from ait_cmp.values.text import counted

__all__ = ["kept_cluster", "run_on_ray"]

_LOGGER = logging.getLogger(__name__)
_LOOK_AGAIN = 10.0  # seconds until nodes that came meanwhile are looked for
_SOON = 0.5  # seconds until that is done where something happens
_DEATHS = 3  # times that all workers of a node may begin again
_GRACE = 3.0  # seconds that a node whose workers died may still be taken for one that stands
_PATIENCE = 30.0  # seconds without any worker until that is said
_MOUNT = "mount the same storage at the same place on every node"
_LEAVING = 5.0  # seconds that workers have to end


@contextmanager
def run_on_ray(limits: WorkerLimits, rows: int = 0) -> Iterator[Execute]:
    """The cluster at `limits.address`, or a Ray on this machine alone, started for the purpose."""
    del rows
    with kept_cluster():

        def execute(tasks: Sequence[Task]) -> Iterator[Answer]:
            if tasks:
                yield from supervise(_kept.cluster(limits), tasks, limits)

        yield execute


@contextmanager
def kept_cluster() -> Iterator[None]:
    """All that is measured meanwhile is measured by one cluster, joined when first it is needed."""
    with _kept:
        yield


class _Kept:
    """The cluster that this process has joined, until the outermost of who keeps it is done."""

    def __init__(self) -> None:
        self._depth = 0
        self._cluster: _Cluster | None = None
        self._stack = ExitStack()

    def __enter__(self) -> None:
        self._depth += 1

    def __exit__(self, *error: object) -> None:
        self._depth -= 1
        if not self._depth:
            self._cluster = None
            with interrupts_wait():
                self._stack.close()

    def cluster(self, limits: WorkerLimits) -> _Cluster:
        if self._cluster is None:
            ray = self._stack.enter_context(connected(limits))
            self._cluster = _Cluster(ray, limits)
            self._stack.callback(self._cluster.leave)
        return self._cluster


_kept = _Kept()


@dataclass(slots=True)
class _Node:
    """A node and its workers; `begun` tells what prevents them, "" where nothing does. One that is
    `aside` is asked only where there is no other."""

    id: str
    name: str
    workers: int
    actor: Any
    begun: Future[str]
    busy: int = 0
    aside: bool = False


class _Sent(Future[list[bytes]]):
    """What a node will answer."""

    def __init__(self, node: _Node) -> None:
        super().__init__()
        self.node = node


class _NodeError(Exception):
    """What a node says instead of rows."""

    def __init__(self, node: _Node, said: Failure | Unseen | None) -> None:
        super().__init__(node.name)
        self.node, self.said = node, said


class _Cluster(Workers):
    """All nodes that have cores."""

    def __init__(self, ray: Any, limits: WorkerLimits) -> None:
        self._ray, self._limits = ray, limits
        self._nodes: dict[str, _Node] = {}
        self._refused: dict[str, str] = {}  # nodes that cannot work, and why
        self._deaths = Counter[str]()
        self._gone: dict[str, tuple[_Node, float]] = {}  # nodes whose workers died, and when
        self._looked = 0.0
        self._lock = threading.Lock()
        self._has_answered = False
        self._look_around()

    # -- what supervision asks

    @property
    def width(self) -> int:
        return max(1, sum(2 * node.workers for node in self._usable()))

    def submit(self, task: Task) -> Future[list[bytes]]:
        if task.here:
            return ThisProcess().submit(task)
        if time.monotonic() - self._looked > (_SOON if self._gone else _LOOK_AGAIN):
            self._look_around()
        node = self._least_busy()
        sent = _Sent(node)
        with self._lock:
            node.busy += 1
        reply = node.actor.measure.remote(task.requests, not task.alone).future()
        reply.add_done_callback(lambda done: self._arrived(sent, node, done))
        return sent

    def failure(self, error: BaseException) -> Failure | None:
        if not isinstance(error, _NodeError):
            return None
        if isinstance(error.said, Failure):
            return error.said
        name = error.node.name
        if isinstance(error.said, Unseen):
            return Failure(Reason.NODE_NO_FILE, _unseen(name, error.said))
        return Failure(Reason.ROW_KILLED, f"with node {name}")

    def again(self, task: Task, error: BaseException) -> Sequence[Task]:
        if not isinstance(error, _NodeError) or isinstance(error.said, Failure):
            return ()
        if isinstance(error.said, Unseen):
            return self._elsewhere(task, error.node, error.said)
        self._lost(error.node)
        return () if task.lost else (replace(task, lost=task.lost + 1),)

    def node(self, future: Future[list[bytes]]) -> str:
        return future.node.name if isinstance(future, _Sent) else ""

    def leave(self) -> None:
        """End all workers, and give their cores back."""
        begun = self._usable()  # which says of the others why they are not
        with suppress(Exception):  # a node that has gone meanwhile has no workers
            stopped = [node.actor.stop.remote() for node in begun]
            if stopped:
                self._ray.wait(stopped, num_returns=len(stopped), timeout=_LEAVING)
        for node in self._nodes.values():
            self._kill(node)

    # -- nodes

    def _look_around(self) -> None:
        """Begin to use the nodes that came since the last time, and those again that stand although
        their workers died."""
        self._looked = time.monotonic()
        alive = {one["NodeID"]: one for one in self._ray.nodes() if one["Alive"] and _cores(one)}
        for node, when in list(self._gone.values()):
            if node.id not in alive:
                self._refused[node.id] = f"node {node.name} was lost"
            elif self._looked - when > _GRACE:
                _LOGGER.info("node %s still stands; its workers begin again", node.name)
                self._begin(node.id, node.name, node.workers)
            else:
                continue
            del self._gone[node.id]
        known = {*self._nodes, *self._gone, *self._refused}
        new = [one for number, one in alive.items() if number not in known]
        if new and not (known and self._limits.workers):
            names = _names(list(alive.values()))
            for number, workers in _shares(_free_cores(new), self._limits.workers).items():
                if workers:
                    self._begin(number, names[number], workers)

    def _begin(self, node_id: str, name: str, workers: int) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        actor = (
            self._ray.remote(_worker_class())
            .options(
                num_cpus=workers,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False),
            )
            .remote()
        )
        identity = (ait_cmp.__version__, digest())
        limits = (workers, self._limits.row_timeout, self._limits.memory)
        begun = actor.begin.remote(identity, str(Path.cwd()), limits).future()
        self._nodes[node_id] = _Node(node_id, name, workers, actor, begun)

    def _usable(self) -> list[_Node]:
        """Those whose workers are there, and see what they should if any do."""
        for node in [one for one in self._nodes.values() if one.begun.done()]:
            error = node.begun.exception()
            if isinstance(error, self._ray.exceptions.RayTaskError):
                self._refuse(node, f"cannot start its workers ({error.cause})")
            elif error is not None:
                self._lost(node)
            elif problem := node.begun.result():
                self._refuse(node, problem)
        standing = [one for one in self._nodes.values() if not one.aside]
        return [one for one in standing or self._nodes.values() if one.begun.done()]

    def _least_busy(self) -> _Node:
        """Raises UsageError where no node is left."""
        since = time.monotonic()
        patient = True
        while not (usable := self._usable()):
            if self._gone:
                time.sleep(_SOON)
                self._look_around()
            elif not self._nodes:
                raise UsageError(self._nobody())
            begun = [one.begun for one in self._nodes.values() if not one.begun.done()]
            wait(begun, timeout=_SOON, return_when=FIRST_COMPLETED)
            if patient and time.monotonic() - since > _PATIENCE:
                patient = False
                _LOGGER.warning("no core of the Ray cluster is free; waiting for one")
        return min(usable, key=lambda one: one.busy / one.workers)

    def _nobody(self) -> str:
        if not self._refused:
            return "the Ray cluster has no node with cores; start one with ray start"
        why = next(iter(self._refused.values()))
        return f"no node of the Ray cluster can work: {why}"

    def _refuse(self, node: _Node, problem: str) -> None:
        self._refused[node.id] = f"node {node.name} {problem}"
        _LOGGER.warning("node %s %s; it is left out", node.name, problem)
        self._kill(node)
        del self._nodes[node.id]

    def _lost(self, node: _Node) -> None:
        """Its workers are gone, or never came; whether the node is, Ray knows a moment later."""
        if self._nodes.get(node.id) is not node:
            return  # that is known
        self._deaths[node.id] += 1
        if self._deaths[node.id] > _DEATHS:
            self._refuse(node, f"lost its workers {_DEATHS + 1} times")
            return
        _LOGGER.warning("node %s lost its workers; their part goes to other nodes", node.name)
        del self._nodes[node.id]
        self._kill(node)
        self._gone[node.id] = (node, time.monotonic())

    def _kill(self, node: _Node) -> None:
        with suppress(Exception):  # it may have ended with its node
            self._ray.kill(node.actor)

    # -- answers

    def _arrived(self, sent: _Sent, node: _Node, done: Future[Reply]) -> None:
        """Hand on what a node replied; a thread of Ray's calls this."""
        with self._lock:
            node.busy -= 1
        error = done.exception()
        if error is not None:
            gone = not isinstance(error, self._ray.exceptions.RayTaskError)
            sent.set_exception(_NodeError(node, None) if gone else error)
            return
        reply = done.result()
        if isinstance(reply, list):
            self._has_answered = True
            sent.set_result(reply)
        else:
            failed = isinstance(reply, Failure | Unseen)
            sent.set_exception(_NodeError(node, reply) if failed else reply)  # type: ignore[arg-type]

    def _elsewhere(self, task: Task, node: _Node, unseen: Unseen) -> Sequence[Task]:
        """What of `task` is asked again, since `node` does not see what was planned; nothing where
        that is so and no other node can be asked. Raises UsageError where none sees anything."""
        blind = [place for place in unseen.places if _is_as_planned(task.requests[place])]
        if not blind:
            return _apart(task, unseen.places)
        others = [one for one in self._nodes.values() if not one.aside and one is not node]
        if others:
            self._set_aside(node, unseen)
            return (task,)
        if not self._has_answered and len(blind) == len(task.requests):
            raise UsageError(
                f"no node of the Ray cluster sees the files: {_unseen(node.name, unseen)}; {_MOUNT}"
            )
        return ()

    def _set_aside(self, node: _Node, unseen: Unseen) -> None:
        if not node.aside:
            node.aside = True
            why = _unseen(node.name, unseen)
            _LOGGER.warning(
                "%s: %s; its part goes to other nodes (%s)", Reason.NODE_NO_FILE, why, _MOUNT
            )


def _is_as_planned(request: Request) -> bool:
    """Whether this machine sees the files, in the state in which the work was planned."""
    return _is_here(request) and seen_now([request]) == [request.seen]


def _is_here(request: Request) -> bool:
    return all(map(exists, watched(request)))


def _apart(task: Task, places: Sequence[int]) -> list[Task]:
    """`task` without the requests at `places`, and each of these alone: of what this machine does
    not see it says so itself, and what changed meanwhile is taken as it is."""
    tasks = []
    each = task.one_by_one()
    if kept := [one for place, one in enumerate(each) if place not in places]:
        pairs = tuple(one.pairs[0] for one in kept)
        requests = tuple(one.requests[0] for one in kept)
        size = sum(one.size for one in kept)
        tasks.append(replace(task, pairs=pairs, requests=requests, size=size))
    for one in (each[place] for place in places):
        request = one.requests[0]
        anew, here = (replace(request, seen=0),), not _is_here(request)
        tasks.append(replace(one, requests=anew, alone=task.alone, here=here))
    return tasks


def _unseen(node: str, unseen: Unseen) -> str:
    what = "another file" if unseen.there else "no such file"
    return f"node {node} sees {what} at {unseen.path}"


def _cores(told: Mapping[str, Any]) -> int:
    return int(told["Resources"].get("CPU", 0))


def _names(told: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What each node is called: its host, and where there are several on one, also its name or its
    number in Ray."""
    names = {}
    for one in told:
        number, host = one["NodeID"], one["NodeManagerHostname"]
        names[number] = (host, f"{host}/{one['NodeName']}", f"{host}/{number[:8]}")
    taken = Counter(name for of_one in names.values() for name in of_one)
    return {
        number: next((name for name in of_one if taken[name] == 1), of_one[-1])
        for number, of_one in names.items()
    }


def _free_cores(told: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Of each node the cores that nobody uses; where all are in use, one of each, to wait for."""
    # What is public tells it of the whole cluster, or asks a dashboard that may not be there.
    from ray._private.state import available_resources_per_node

    available = available_resources_per_node()
    cores = {one["NodeID"]: _cores(one) for one in told}
    free = {
        number: min(count, int(available.get(number, {}).get("CPU", 0)))
        for number, count in cores.items()
    }
    return free if any(free.values()) else dict.fromkeys(cores, 1)


def _shares(free: Mapping[str, int], workers: int | None) -> dict[str, int]:
    """How many workers each node has, so that each has as many cores left as the others."""
    if workers is None:
        return dict(free)
    if workers > sum(free.values()):
        _LOGGER.warning(
            "executor.workers=%d, and the Ray cluster has %s free; so many work",
            workers,
            counted(sum(free.values()), "core"),
        )
    shares = dict.fromkeys(free, 0)
    for _ in range(min(workers, sum(free.values()))):
        shares[max(free, key=lambda one: free[one] - shares[one])] += 1
    return shares


def _worker_class() -> type:
    """The actor of a node. It goes there by value, since it is defined in a function: a node
    without this package, or with another one, can say so."""

    class Workers:
        def begin(
            self,
            identity: tuple[str, str],
            folder: str,
            limits: tuple[int, float | None, int | None],
        ) -> str:
            """Start workers in `folder`; what prevents it, or nothing."""
            import contextlib
            import os

            version = identity[0]
            with contextlib.suppress(OSError):  # where a relative path then leads is looked at
                os.chdir(folder)
            try:
                import ait_cmp
                from ait_cmp.engine import digest
            except ImportError as exc:
                package = f"'ait-cmp[ray]=={version}'"
                return f"has no ait_cmp {version} ({exc}); install it there: pip install {package}"
            if (ait_cmp.__version__, digest()) != identity:
                other = ait_cmp.__version__
                which = f"ait_cmp {other}" if other != version else f"another ait_cmp {other}"
                return f"has {which}, and this machine {version}; install the same there"
            from ait_cmp.measuring.executor.base import WorkerLimits
            from ait_cmp.measuring.executor.ray_node import NodeWorkers

            self.workers = NodeWorkers(WorkerLimits(*limits))
            return ""

        async def measure(self, requests: Any, mapped: bool) -> Any:
            return await self.workers.measure(requests, mapped)

        def stop(self) -> None:
            self.workers.stop()

    return Workers
