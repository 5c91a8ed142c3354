"""Runs that are cut short go on where they stopped, finished ones are not measured again, and all
end with the same report."""

from __future__ import annotations

import os
import pickle
import random
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ait_cmp import dump_data, write_bin
from ait_cmp.__main__ import main
from ait_cmp.engine.measured import Measured
from ait_cmp.engine.pairwise import measure_request, merged, spans
from ait_cmp.engine.request import Request, Wanted
from ait_cmp.measuring.row import pack_row, unpack_row
from ait_cmp.measuring.run_record import RECORD
from ait_cmp.measuring.store import NAME, Store
from ait_cmp.measuring.stored_run import load
from ait_cmp.values.errors import UsageError
from ait_cmp.values.location import Location, Step

WANTED = Wanted(2.0**-23)
LARGEST_ROW = 8000  # bytes, as promised


def _dump(folder: Path, rows: int = 40, size: int = 100_000) -> Path:
    generator = torch.Generator().manual_seed(0)
    (folder / "my").mkdir(parents=True)
    for number in range(rows):
        golden = torch.randn(size, generator=generator)
        write_bin(folder / "my" / f"{number}.bin", golden.half())
        dump_data(0, number, golden, folder / "my" / f"{number}.bin", folder)
    return folder


def _report(folder: Path) -> tuple[bytes, bytes]:
    return (folder / "cmp_report.csv").read_bytes(), (folder / "cmp_report.parquet").read_bytes()


def _request(folder: Path, number: int = 0) -> Request:
    golden = next(folder.rglob(f"0/{number}_tensor.pth"))
    my = folder / "my" / f"{number}.bin"
    return Request(Location.of(str(golden)), Location.of(str(my)), WANTED)


def _row(request: Request) -> bytes:
    return pack_row(request, measure_request(request))


def _seal(folder: Path, requests: Sequence[Request]) -> Path:
    with Store(folder, WANTED) as store:
        for request in requests:
            store.add([_row(request)])
        store.finish()
    return folder / NAME


def _refuse_to_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = "ait_cmp.measuring.executor.base.measure_requests"
    monkeypatch.setattr(stand_in, lambda requests, mapped: pytest.fail(str(requests)))


@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_interrupted_runs_end_with_the_same_report(tmp_path: Path, executor: str) -> None:
    """Runs of each executor, cut short at random by Ctrl-C and kill -9, then finished."""
    dump = _dump(tmp_path / "dump")
    arguments = [f"golden_path={dump}", f"executor={executor}"]
    begun = time.monotonic()
    assert main([*arguments, "output=whole"]) == 0
    whole, took = _report(tmp_path / "whole"), time.monotonic() - begun + 3
    chance = random.Random(0)
    for number, sent in enumerate([signal.SIGINT, signal.SIGKILL] * 2):
        command = [sys.executable, "-m", "ait_cmp", *arguments, f"output=out{number}"]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.3, 1) * took)
        process.send_signal(sent)
        # -SIGINT: it came before the interpreter was up.
        assert process.wait(10) in (0, 130, -signal.SIGKILL, -signal.SIGINT)
        assert main([*arguments, f"output=out{number}"]) == 0
        assert _report(tmp_path / f"out{number}") == whole
        names = {path.name for path in (tmp_path / f"out{number}").iterdir()}
        assert names == {"cmp_report.csv", "cmp_report.parquet", NAME, RECORD}


def test_answers_come_back_as_they_were(tmp_path: Path) -> None:
    request = _request(_dump(tmp_path, rows=1, size=5000))
    measured = measure_request(request)
    with Store(tmp_path / "out", WANTED) as store:
        assert store.known(request) is None
        store.add([pack_row(request, measured)])
    with Store(tmp_path / "out", WANTED) as store:
        known = store.known(request)
        store.finish()
    assert known == _for_a_verdict(measured)
    ((key, loaded),) = load(tmp_path / "out" / NAME)
    assert key == (request.golden, request.my, None)
    assert loaded == measured
    assert loaded.slices


def _for_a_verdict(measured: Measured) -> Measured:
    return unpack_row(pack_row(Request(Location(()), Location(()), WANTED), measured))


def test_ranges_come_back_as_they_were_and_leave_with_the_seal(tmp_path: Path) -> None:
    path = tmp_path / "large.npy"
    np.save(path, np.random.default_rng(0).standard_normal((3 << 23), dtype=np.float32))
    both = Location.of(str(path))
    pair = Request(both, both, WANTED)
    ranges = [Request(both, both, WANTED, span=span) for span in spans(pair)]
    parts = [measure_request(one) for one in ranges]
    with Store(tmp_path / "out", WANTED) as store:
        store.add([pack_row(one, part) for one, part in zip(ranges, parts, strict=True)])
    with Store(tmp_path / "out", WANTED) as store:
        known = [store.known(one) for one in ranges]
        assert known == parts
        # Arrays do not tell by == whether they are equal.
        assert pickle.dumps([one and one.stats.slices for one in known]) == pickle.dumps(  # type: ignore[union-attr]
            [part.stats.slices for part in parts]  # type: ignore[union-attr]
        )
        store.add([pack_row(pair, merged(parts))])
        store.finish()
    ((key, loaded),) = load(tmp_path / "out" / NAME)
    assert key == (both, both, None)
    assert loaded == merged(parts)


def test_nonfinite_stats_and_odd_names_come_back_as_they_were(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"n\xffl, null]\n\xe6\x95\xb0")
    folder.mkdir()
    np.save(folder / "nan.npy", np.array([[np.nan, np.inf]]))
    steps = (Step("transpose", ("0", "1")),)
    location = Location((str(folder / "nan.npy"),), steps)
    request = Request(location, location, WANTED)
    with Store(tmp_path / "out", WANTED) as store:
        store.add([_row(request)])
        store.finish()
    with Store(tmp_path / "out", WANTED) as store:
        assert store.known(request) == _for_a_verdict(measure_request(request))
    assert [key for key, _ in load(tmp_path / "out" / NAME)] == [(location, location, None)]


@pytest.mark.parametrize("shape", [(2048,), (512, 4096), (40, 7, 1024), (3, 0), ()])
def test_a_row_takes_8_kb_at_most(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """Also the largest: all bins in use, paths of 120 characters."""
    folder = tmp_path / ("x" * max(1, 110 - len(str(tmp_path))))
    folder.mkdir()
    generator = np.random.default_rng(0)
    golden = generator.standard_normal(shape)
    np.save(folder / "golden.npy", golden)
    np.save(folder / "my.npy", golden + 1e-3 * generator.standard_normal(shape))
    golden_at, my_at = (Location.of(str(folder / f"{side}.npy")) for side in ("golden", "my"))
    path = _seal(tmp_path / "out", [Request(golden_at, my_at, WANTED)])
    assert path.stat().st_size <= LARGEST_ROW


def test_a_changed_file_is_measured_again(tmp_path: Path) -> None:
    request = _request(_dump(tmp_path, rows=1, size=100))
    _seal(tmp_path / "out", [request])
    write_bin(request.my.files[0], torch.zeros(100, dtype=torch.float16))
    with Store(tmp_path / "out", WANTED) as store:
        assert store.known(request) is None


def test_a_rewritten_file_is_measured_again_though_size_and_time_are_the_old_ones(
    tmp_path: Path,
) -> None:
    dump = _dump(tmp_path / "dump", rows=1, size=100)
    assert main([f"golden_path={dump}", "output=out"]) == 0
    my = dump / "my" / "0.bin"
    before = my.stat()
    with open(my, "r+b") as file:  # the same inode, too
        file.seek(-200, os.SEEK_END)
        file.write(bytes(200))
    os.utime(my, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert my.stat().st_size == before.st_size
    assert main([f"golden_path={dump}", "output=out"]) == 1


@pytest.mark.parametrize("other", [{"epsilon": 1e-3}, {"roots": ["/"]}, {"digest": "another"}])
def test_other_stats_are_not_taken_for_these(
    tmp_path: Path, other: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    request = _request(_dump(tmp_path, rows=1, size=100))
    _seal(tmp_path / "out", [request])
    if "digest" in other:
        monkeypatch.setattr("ait_cmp.measuring.store.digest", lambda: other["digest"])
    wanted = Wanted(float(str(other.get("epsilon", WANTED.epsilon))))
    with Store(tmp_path / "out", wanted, other.get("roots")) as store:  # type: ignore[arg-type]
        assert store.known(request) is None
        store.finish()
    assert not list(load(tmp_path / "out" / NAME))


@pytest.mark.parametrize("cut", [1, 5, 40, 200])
def test_a_torn_file_loses_only_its_last_batch(tmp_path: Path, cut: int) -> None:
    dump = _dump(tmp_path, rows=2, size=100)
    requests = [_request(dump, number) for number in (0, 1)]
    with Store(tmp_path / "out", WANTED) as store:
        for request in requests:
            store.add([_row(request)])
    part = tmp_path / "out" / f"{NAME}.part"
    part.write_bytes(part.read_bytes()[:-cut])
    with Store(tmp_path / "out", WANTED) as store:
        assert store.known(requests[0]) is not None
        assert store.known(requests[1]) is None
        store.add([_row(requests[1])])
    with Store(tmp_path / "out", WANTED) as store:
        assert all(store.known(request) is not None for request in requests)
        store.finish()
    assert len(list(load(tmp_path / "out" / NAME))) == 2


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[Measured]]:
    """A store of five batches, a row each, and the rows."""
    folder = tmp_path_factory.mktemp("sealed")
    dump = _dump(folder / "dump", rows=5, size=60)
    path = _seal(folder, [_request(dump, number) for number in range(5)])
    return path.read_bytes(), [measured for _, measured in load(path)]


@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_costs_the_rows_that_it_hits_and_no_row_is_wrong(
    data: st.DataObject, sealed: tuple[bytes, list[Measured]], tmp_path: Path
) -> None:
    content, rows = sealed
    first = content.index(b"\xf5ROWS")
    begins = [first]
    while (begin := content.find(b"\xf5ROWS", begins[-1] + 1)) >= 0:
        begins.append(begin)
    damaged = bytearray(content)
    hits = data.draw(st.lists(st.integers(first, len(content) - 1), max_size=3))
    for place in hits:
        damaged[place] ^= data.draw(st.integers(1, 255))
    end = data.draw(st.integers(first, len(content)) | st.just(len(content)))
    path = tmp_path / NAME
    path.write_bytes(damaged[:end])
    found = [measured for _, measured in load(path)]
    whole = [
        row
        for row, begin, next_ in zip(rows, begins, [*begins[1:], len(content)], strict=True)
        if next_ <= end and not any(begin <= place < next_ for place in hits)
    ]
    assert [one for one in found if one not in rows] == []
    assert [row for row in whole if row not in found] == []


@pytest.mark.parametrize("content", [b"a report of mine\n" * 9, b"\x89AITSTAT" + b"\3\0\0\0" * 60])
def test_what_does_not_begin_as_a_store_is_refused_in_a_sentence(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    dump = _dump(tmp_path / "dump", rows=1, size=100)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / NAME).write_bytes(content)
    with pytest.raises(UsageError, match="no store of stats"):
        load(tmp_path / "out" / NAME)
    assert main([f"golden_path={dump}", "output=out"]) == 2
    assert "remove it, or choose another output=" in capsys.readouterr().err
    assert (tmp_path / "out" / NAME).read_bytes() == content


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    dump = _dump(tmp_path / "dump", rows=1, size=100)
    for name, make in (
        (NAME, os.symlink),
        (f"{NAME}.part", os.symlink),
        (f"{NAME}.part", os.link),
    ):
        victim, out = tmp_path / "victim", tmp_path / f"out{name}{make.__name__}"
        victim.write_bytes(b"precious")
        out.mkdir()
        make(victim, out / name)
        assert main([f"golden_path={dump}", f"output={out}"]) == 2
        assert victim.read_bytes() == b"precious"


def test_permissions_are_plain(tmp_path: Path) -> None:
    dump = _dump(tmp_path / "dump", rows=1, size=100)
    before = os.umask(0o027)
    try:
        assert main([f"golden_path={dump}", "output=out"]) == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out" / NAME).stat().st_mode) == 0o640


def test_two_compares_into_one_folder_are_refused(tmp_path: Path) -> None:
    request = _request(_dump(tmp_path / "dump", rows=1, size=100))
    with Store(tmp_path, WANTED) as store:
        with pytest.raises(UsageError, match="another compare or sweep is writing"):
            Store(tmp_path, WANTED)
        store.add([_row(request)])
        store.finish()
        with pytest.raises(UsageError, match="another compare or sweep is writing"):
            Store(tmp_path, WANTED)
    Store(tmp_path, WANTED).__exit__(None, None, None)


def test_a_finished_run_is_not_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dump = _dump(tmp_path / "dump", rows=3, size=100)
    assert main([f"golden_path={dump}", "output=out"]) == 0
    first, state = _report(tmp_path / "out"), (tmp_path / "out" / NAME).stat()
    _refuse_to_measure(monkeypatch)
    assert main([f"golden_path={dump}", "output=out", "tolerance=none"]) == 0
    assert main([f"golden_path={dump}", "output=out"]) == 0
    assert _report(tmp_path / "out") == first
    assert (tmp_path / "out" / NAME).stat().st_ino == state.st_ino


def test_a_finished_run_with_other_inputs_replaces_it(tmp_path: Path) -> None:
    dump = _dump(tmp_path / "dump", rows=3, size=100)
    for data_ids, rows in (("*", 3), ("[0,1]", 2), ("*", 3)):
        assert main([f"golden_path={dump}", "output=out", f"data_ids={data_ids}"]) == 0
        assert len(list(load(tmp_path / "out" / NAME))) == rows
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {NAME}
    assert not list((tmp_path / "out").glob(f"{NAME}.*"))


def test_a_failed_report_keeps_the_stats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that nothing is measured twice once there is room again."""
    dump = _dump(tmp_path / "dump", rows=3, size=100)
    (tmp_path / "out" / "cmp_report.csv").mkdir(parents=True)
    assert main([f"golden_path={dump}", "output=out"]) == 4
    (tmp_path / "out" / "cmp_report.csv").rmdir()
    _refuse_to_measure(monkeypatch)
    assert main([f"golden_path={dump}", "output=out"]) == 0
