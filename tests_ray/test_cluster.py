"""Two nodes on loopback: what `serial` says, whatever is lost, and nothing is left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import safetensors.torch
import torch

from ait_cmp.__main__ import main
from ait_cmp.fingerprint.container import Container
from ait_cmp.fingerprint.make import make_fingerprint
from tests_ray.cluster import command, environment, eventually, workers_of
from tests_ray.conftest import Cluster, Join, may_mount

Process = subprocess.Popen[str]

# What a compare says by itself, and what Ray's core may of answers that a node took along with it;
# anything else in stderr is Ray's.
_OURS = re.compile(
    r"(INFO|WARNING|ERROR): |compared \d+ of |ait_cmp: |$|\[[^]]*\] core_worker\.cc.*lost objects"
)


def start(cluster: Cluster, *arguments: str, prefix: tuple[str, ...] = ()) -> Process:
    """The command, in a session of its own."""
    return subprocess.Popen(
        [*prefix, *command("executor=ray", *arguments)],
        env=environment(cluster.folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=cluster.folder,
    )


def ended(process: Process) -> tuple[int, str]:
    """The exit status, and what was said; Ray says nothing."""
    _, errors = process.communicate(timeout=100)
    assert not [line for line in errors.splitlines() if not _OURS.match(line)], errors
    return process.returncode, errors


def in_mid_run(output: Path, harm: Callable[[], object]) -> None:
    """Do `harm` when the first rows have come."""
    part = output / "cmp_report.stats.part"
    assert eventually(lambda: part.exists() and part.stat().st_size > 10_000, 60)
    harm()


def report(output: Path) -> bytes:
    return (output / "cmp_report.csv").read_bytes()


@pytest.mark.parametrize("joined", [True, False])
def test_a_cluster_says_what_serial_says(
    cluster: Cluster, dump: Path, by_serial: bytes, joined: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By relative paths, which lead nowhere from where the nodes were started."""
    monkeypatch.setenv("TMPDIR", str(cluster.folder))
    output = cluster.folder / f"joined{joined}"
    address = [cluster.address] if joined else []
    process = start(cluster, f"golden_path={dump.name}", f"output={output.name}", *address)
    assert ended(process)[0] == 1
    rows, expected = (text.replace(b"dump/", b"") for text in (report(output), by_serial))
    assert rows.replace(bytes(cluster.folder) + b"/", b"") == expected.replace(
        bytes(cluster.folder) + b"/", b""
    )
    assert not workers_of(cluster.folder)
    assert not list((cluster.folder / "home").iterdir())
    assert not list(cluster.folder.glob("ait_cmp_*"))


@pytest.mark.parametrize("my", ["my.fp.safetensors", "my.safetensors"])
def test_fingerprints_are_estimated_as_serial_does(cluster: Cluster, my: str) -> None:
    """Kept whole or not, of both sides and of one; every fifth is wrong."""
    folder, generator = cluster.folder / "kept", torch.Generator().manual_seed(0)
    folder.mkdir(exist_ok=True)
    golden = {f"{n}.q": torch.randn(8 + n, 64, generator=generator) for n in range(60)}
    other = {
        name: tensor.bfloat16() if number % 5 else tensor * 1.3
        for number, (name, tensor) in enumerate(golden.items())
    }
    safetensors.torch.save_file(other, folder / "my.safetensors")
    for side, tensors in (("golden", golden), ("my", other)):
        file = Container(str(folder / f"{side}.fp.safetensors"))
        for name, tensor in tensors.items():
            file.add(name, make_fingerprint(tensor).pack())
        file.close()
    sides = [f"golden_path={folder}/golden.fp.safetensors", f"my_path={folder}/{my}"]
    outputs = folder / f"{my}_serial", folder / f"{my}_ray"
    assert main([*sides, "executor=serial", f"output={outputs[0]}"]) == 1
    assert ended(start(cluster, *sides, cluster.address, f"output={outputs[1]}"))[0] == 1
    assert report(outputs[1]) == report(outputs[0])
    assert b",16," in report(outputs[0])  # fingerprint_buckets


def test_a_node_lost_in_mid_run_costs_no_row(
    cluster: Cluster, dump: Path, by_serial: bytes, join_cluster: Join
) -> None:
    three, output = join_cluster("three"), cluster.folder / "lost"
    process = start(cluster, cluster.address, f"golden_path={dump}", f"output={output}")

    def lose() -> None:
        process.send_signal(signal.SIGSTOP)  # else it may be done before the node is gone
        assert eventually(three.has_workers)
        time.sleep(2.0)  # until they have begun
        three.kill()
        process.send_signal(signal.SIGCONT)

    in_mid_run(output, lose)
    status, said = ended(process)
    assert status == 1
    lost = r"WARNING: node \S+/three lost its workers; their part goes to other nodes"
    assert re.search(lost, said)
    assert report(output) == by_serial


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_was_cut_short_goes_on(
    cluster: Cluster, dump: Path, by_serial: bytes, end: signal.Signals
) -> None:
    output = cluster.folder / f"cut{end}"
    given = (cluster.address, f"golden_path={dump}", f"output={output}")
    process = start(cluster, *given)
    in_mid_run(output, lambda: os.killpg(process.pid, end))
    status, said = ended(process)
    assert status == (130 if end is signal.SIGINT else -end)
    assert ("the same command goes on from there" in said) == (end is signal.SIGINT)
    assert eventually(lambda: not workers_of(cluster.folder))
    status, said = ended(start(cluster, *given))
    assert status == 1
    assert "going on from an earlier run" in said
    assert report(output) == by_serial


def test_ctrl_c_ends_a_ray_of_this_run(cluster: Cluster, dump: Path) -> None:
    before = _rays()
    output = cluster.folder / "ctrl_c"
    process = start(cluster, f"golden_path={dump}", f"output={output}")
    in_mid_run(output, lambda: os.killpg(process.pid, signal.SIGINT))
    assert ended(process)[0] == 130
    assert eventually(lambda: _rays() == before)
    assert not workers_of(cluster.folder)


def _rays() -> set[int]:
    """The processes of all clusters."""
    found = set()
    for path in Path("/proc").iterdir():
        name = path / "comm"
        try:
            if name.read_text().strip() in ("raylet", "gcs_server"):
                found.add(int(path.name))
        except OSError:
            continue
    return found


@pytest.mark.skipif(not may_mount(), reason="a place that one node alone sees needs unshare -m")
@pytest.mark.parametrize(("name", "sees"), [("absent", "no such file"), ("mixed", "another file")])
def test_a_node_without_the_files_is_named_once(cluster: Cluster, name: str, sees: str) -> None:
    """In `mixed` the node has another run, of which the same rows would look right. A node that is
    slow to start may find nothing left to do, and is asked again."""
    dump, serial = cluster.folder / name, cluster.folder / f"{name}_by_serial"
    assert main([f"golden_path={dump}", f"output={serial}", "executor=serial"]) == 1
    warning = rf"WARNING: NODE_NO_FILE: node \S+/two sees {sees} at {dump}/"
    named = 0
    for turn in range(6):
        output = cluster.folder / f"{name}{turn}"
        given = (cluster.address, f"golden_path={dump}", f"output={output}")
        status, said = ended(start(cluster, *given))
        assert (status, report(output)) == (1, report(serial))
        named = len(re.findall(warning, said))
        if named:
            break
    assert named == 1


@pytest.mark.skipif(not may_mount(), reason="a place that one process alone sees needs unshare -m")
def test_files_that_no_node_sees_end_with_one_sentence(cluster: Cluster, dump: Path) -> None:
    mine, output = cluster.folder / "mine", cluster.folder / "by_none"
    mine.mkdir()
    mount = ("unshare", "-m", "sh", "-c", f'mount --bind {dump} {mine} && exec "$@"', "sh")
    given = (cluster.address, f"golden_path={mine}", f"output={output}")
    status, said = ended(start(cluster, *given, f"my_path={mine}/my", prefix=mount))
    assert status == 2
    (sentence,) = (line for line in said.splitlines() if "no node of the Ray cluster" in line)
    assert f"sees no such file at {mine}/" in sentence
    assert sentence.endswith("mount the same storage at the same place on every node")


@pytest.mark.parametrize("answers", [False, True], ids=["nobody", "another"])
def test_a_cluster_that_is_not_there_is_told_of(
    cluster: Cluster, dump: Path, answers: bool
) -> None:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{server.server_port if answers else 1}"
        begun = time.monotonic()
        given = (f"executor.address={address}", f"golden_path={dump}", "output=nowhere")
        status, said = ended(start(cluster, *given))
        server.shutdown()
    assert status == 2
    assert f"executor.address={address}: no Ray cluster can be joined there" in said
    assert time.monotonic() - begun < 60
