"""One cluster of two nodes, and a dump of 2,000 rows with what `serial` says of it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from ait_cmp import dump_data, write_bin
from ait_cmp.__main__ import main
from tests_ray.cluster import HOST, Node, join, start_head, wait_for_nodes

ROWS = 2000


@dataclass(frozen=True)
class Cluster:
    """Where it is; `two` sees nothing in `absent`, and in `mixed` another run."""

    folder: Path
    port: int

    @property
    def address(self) -> str:
        return f"executor.address={HOST}:{self.port}"


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """A folder of a short name: Ray's sockets are in it."""
    made = Path(tempfile.mkdtemp(prefix="ray_", dir="/tmp"))
    yield made
    shutil.rmtree(made)


def make_dump(folder: Path, rows: int, scale: float = 1.0) -> Path:
    """Small rows, of which every 97th is wrong, by as much as `scale` says."""
    (folder / "my").mkdir(parents=True)
    generator = torch.Generator().manual_seed(0)
    for row in range(rows):
        golden = torch.randn(4, 64, generator=generator)
        my = golden.bfloat16() if row % 97 else golden + 0.5 * scale
        write_bin(folder / "my" / f"{row}.bin", my)
        dump_data(row // 200, f"layer{row % 200}.q", golden, folder / "my" / f"{row}.bin", folder)
    return folder


@pytest.fixture(scope="session")
def dump(folder: Path) -> Path:
    return make_dump(folder / "dump", ROWS)


@pytest.fixture(scope="session")
def by_serial(folder: Path, dump: Path) -> bytes:
    """The report that every run must give."""
    output = folder / "serial"
    assert main([f"golden_path={dump}", f"output={output}", "executor=serial"]) == 1
    return (output / "cmp_report.csv").read_bytes()


@pytest.fixture(scope="session")
def cluster(folder: Path) -> Iterator[Cluster]:
    for name in ("absent", "mixed", "other"):
        make_dump(folder / name, 200, scale=2.0 if name == "other" else 1.0)
    with socket.socket() as one:
        one.bind((HOST, 0))
        port = one.getsockname()[1]
    nodes = [start_head(folder, port)]
    wait_for_nodes(folder, port, 1)
    script = (
        f"mount -t tmpfs none {folder}/absent && mount --bind {folder}/other {folder}/mixed"
        ' && exec "$@"'
    )
    prefix = ["unshare", "-m", "sh", "-c", script, "sh"] if may_mount() else []
    nodes.append(join("two", folder, port, prefix=prefix))
    wait_for_nodes(folder, port, 2)
    yield Cluster(folder, port)
    for node in nodes:
        node.kill()


def may_mount() -> bool:
    """Whether this user can have a place that only one process sees."""
    return not subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode


Join = Callable[..., Node]


@pytest.fixture
def join_cluster(cluster: Cluster) -> Iterator[Join]:
    """Adds a node, which is gone after the test."""
    nodes: list[Node] = []

    def joined(name: str, **more: object) -> Node:
        nodes.append(join(name, cluster.folder, cluster.port, **more))
        wait_for_nodes(cluster.folder, cluster.port, 3)
        return nodes[-1]

    yield joined
    for node in nodes:
        node.kill()
