"""Web servers, one that gives ranges and shows its folders, and Python's own, which gives none."""

from __future__ import annotations

import asyncio
import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web

from ait_cmp.api import compare_dumps
from ait_cmp.files import is_folder, list_folder, look_again, open_file
from ait_cmp.files.stores import http as stores_http
from ait_cmp.source import open_source
from ait_cmp.values.errors import PairError, Reason


class Plain:
    """Python's server, of the files below `root`."""

    def __init__(self, root: Path) -> None:
        class Quiet(http.server.SimpleHTTPRequestHandler):
            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        handler = functools.partial(Quiet, directory=str(root))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class WithRanges:
    """aiohttp's server, of the files below `root`; `sent` has the ranges that were asked for."""

    def __init__(self, root: Path) -> None:
        self.sent: list[str] = []
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()

        @web.middleware  # type: ignore[untyped-decorator]
        async def note(request: web.Request, handler: web.Handler) -> web.StreamResponse:
            self.sent.append(f"{request.method} {request.headers.get('Range', '')}")
            answer: web.StreamResponse = await handler(request)
            return answer

        async def start() -> None:
            app = web.Application(middlewares=[note])
            app.router.add_static("/", root, show_index=True)
            runner = web.AppRunner(app)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            ready.set()

        def run() -> None:
            self._loop.run_until_complete(start())
            self._loop.run_forever()

        threading.Thread(target=run, daemon=True).start()
        assert ready.wait(30)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)


@pytest.fixture(params=[Plain, WithRanges])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Plain | WithRanges]:
    """One of them, of the test's folder."""
    look_again()
    found = request.param(tmp_path)
    yield found
    found.close()


def test_dumps_are_listed_and_compared(server: Plain | WithRanges, tmp_path: Path) -> None:
    for side in ("golden", "my"):
        for number in range(3):
            path = tmp_path / side / f"layer {number}" / "a+b.npy"
            path.parent.mkdir(parents=True)
            np.save(path, np.full(100, number, np.float32))
    assert is_folder(f"{server.url}/golden")
    found = compare_dumps(
        golden_path=f"{server.url}/golden", my_path=f"{server.url}/my", executor="serial"
    ).to_polars()
    assert found["status"].to_list() == ["pass"] * 3, found["cmp_fail_reason"].to_list()
    assert found["data_id"].to_list() == [f"layer {number}/a+b" for number in range(3)]


def test_a_large_file_is_read_by_ranges_or_not_at_all(
    server: Plain | WithRanges, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores_http, "_WHOLE_LIMIT", 1 << 20)
    values = np.random.default_rng(0).standard_normal(500_000)
    np.save(tmp_path / "t.npy", values)
    path = f"{server.url}/t.npy"
    if isinstance(server, WithRanges):
        source = open_source(path)
        assert np.array_equal(source.read(1000, 400_000), values[1000:400_000])
        assert all("bytes=" in one for one in server.sent if one.startswith("GET"))
        return
    with pytest.raises(PairError) as caught:
        open_source(path)
    assert caught.value.reason is Reason.NOT_SUPPORTED
    assert "gives no ranges" in str(caught.value)


def test_a_small_file_of_a_server_without_ranges_is_read_whole(tmp_path: Path) -> None:
    server = Plain(tmp_path)
    values = np.arange(200_000.0)
    np.save(tmp_path / "t.npy", values)
    source = open_source(f"{server.url}/t.npy")
    assert np.array_equal(source.read(7, 150_000), values[7:150_000])
    server.close()


def test_what_is_not_there_what_is_empty_and_what_is_a_folder(
    server: Plain | WithRanges, tmp_path: Path
) -> None:
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f.txt").write_bytes(b"x")
    assert open_file(f"{server.url}/empty").size == 0
    with pytest.raises(FileNotFoundError):
        open_file(f"{server.url}/gone.npy")
    with pytest.raises(FileNotFoundError):
        list_folder(f"{server.url}/gone")
    with pytest.raises(PairError) as caught:
        open_file(f"{server.url}/d")
    assert caught.value.reason is Reason.NOT_A_FILE
    with pytest.raises((PairError, FileNotFoundError)):
        list_folder(f"{server.url}/d/f.txt")
    assert [one.name for one in list_folder(f"{server.url}/d")] == ["f.txt"]


def test_a_file_that_changes_is_noticed(tmp_path: Path) -> None:
    server = WithRanges(tmp_path)
    (tmp_path / "f").write_bytes(bytes(1 << 20))
    file = open_file(f"{server.url}/f")
    (tmp_path / "f").write_bytes(b"\1" * (1 << 20))
    with pytest.raises(PairError) as caught:
        file.read(500_000, 10)
    assert caught.value.reason is Reason.IN_CHANGED
    server.close()
