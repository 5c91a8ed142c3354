"""A real S3 server on loopback, moto's, behind what counts, delays and breaks its answers."""

from __future__ import annotations

import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

__all__ = ["Asked", "Huge", "S3Server"]

Environ = dict[str, Any]
Start = Callable[..., Any]
Fault = Callable[["Asked"], str | None]  # what becomes of a request: None, 503, reset, cut


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, and how many bytes of an object it was answered with."""

    method: str
    path: str
    query: str
    first: int = -1  # of the range
    sent: int = 0

    @property
    def is_listing(self) -> bool:
        """Whether it asks what is in a bucket."""
        return "list-type=" in self.query


@dataclass
class Huge:
    """An object of nearly only zeros, that is not in moto: its length, and what is not zero."""

    size: int
    parts: dict[int, bytes] = field(default_factory=dict)
    etag: str = "huge-1"

    def read(self, start: int, stop: int) -> bytes:
        """The bytes [start, stop)."""
        data = bytearray(stop - start)
        for place, part in self.parts.items():
            begin, end = max(place, start), min(place + len(part), stop)
            if begin < end:
                data[begin - start : end - start] = part[begin - place : end - place]
        return bytes(data)


class S3Server:
    """`asked` are all requests since it was cleared; `latency` is added to each, in seconds."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.latency = 0.0
        self.fault: Fault = lambda asked: None
        self.huge: dict[str, Huge] = {}
        self.ignores_conditions = False
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server = make_server(
            "127.0.0.1", 0, self._answer, threaded=True, request_handler=_Quiet
        )
        self.url = f"http://127.0.0.1:{self._server.port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.client: Any = boto3.client("s3", endpoint_url=self.url, region_name="us-east-1")

    def close(self) -> None:
        """No more answers."""
        self._server.shutdown()
        self._server.server_close()

    def clear(self, bucket: str) -> None:
        """Nothing was asked, nothing is wrong, and nothing is in `bucket`."""
        self.latency, self.fault, self.ignores_conditions = 0.0, lambda asked: None, False
        self.huge.clear()
        for one in self.keys(bucket):
            s3_backends[DEFAULT_ACCOUNT_ID]["aws"].delete_object(bucket, one)
        self.asked.clear()

    def keys(self, bucket: str) -> list[str]:
        """All that is in `bucket`."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return [one["Key"] for page in pages for one in page.get("Contents", [])]

    def upload(self, folder: Path, bucket: str, prefix: str = "") -> None:
        """All files below `folder`."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                key = prefix + str(path.relative_to(folder))
                self.put(bucket, key, path.read_bytes())
        self.asked.clear()

    def put(self, bucket: str, key: str, data: bytes) -> None:
        """An object, without the seconds that thousands of requests take."""
        s3_backends[DEFAULT_ACCOUNT_ID]["aws"].put_object(bucket, key, data)

    def reads(self, suffix: str = "") -> list[Asked]:
        """The requests for bytes of objects whose keys end so."""
        return [
            one
            for one in self.asked
            if one.method == "GET" and not one.is_listing and one.path.endswith(suffix)
        ]

    def _answer(self, environ: Environ, start: Start) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", environ.get("HTTP_RANGE", ""))
        asked = Asked(method, path, environ["QUERY_STRING"], int(span[1]) if span else -1)
        if self.latency:
            time.sleep(self.latency)
        wrong = self.fault(asked)
        if wrong in ("403", "503"):
            self.asked.append(asked)
            start(f"{wrong} No", [("Content-Length", "0")])
            return [b""]
        if wrong == "reset":
            self.asked.append(asked)
            _reset(environ)
            return [b""]
        if self.ignores_conditions:
            environ.pop("HTTP_IF_NONE_MATCH", None)
            environ.pop("HTTP_IF_MATCH", None)
        if path in self.huge and method in ("GET", "HEAD"):
            body = self._of_huge(self.huge[path], environ, start, span)
        else:
            body = b"".join(self._moto(environ, start))
        self.asked.append(Asked(method, path, asked.query, asked.first, len(body)))
        return _cut(body, environ) if wrong == "cut" else [body]

    def _of_huge(self, one: Huge, environ: Environ, start: Start, span: Any) -> bytes:
        etag = f'"{one.etag}"'
        headers = [("ETag", etag), ("Last-Modified", "Thu, 26 Nov 2026 10:00:00 GMT")]
        if environ.get("HTTP_IF_MATCH", etag) != etag:
            start("412 Precondition Failed", [("Content-Length", "0")])
            return b""
        if environ["REQUEST_METHOD"] == "HEAD":
            start("200 OK", [*headers, ("Content-Length", str(one.size))])
            return b""
        begin = int(span[1]) if span else 0
        end = min(int(span[2] or one.size - 1) + 1, one.size) if span else one.size
        data = one.read(begin, end)
        headers += [("Content-Length", str(len(data)))]
        headers += [("Content-Range", f"bytes {begin}-{end - 1}/{one.size}")]
        start("206 Partial Content", headers)
        return data


class _Quiet(WSGIRequestHandler):  # type: ignore[misc]
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name
        pass


def _reset(environ: Environ) -> None:
    """The connection ends without an answer."""
    connection = environ["werkzeug.socket"]
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def _cut(body: bytes, environ: Environ) -> Iterator[bytes]:
    """Half of an answer, and the connection ends."""
    yield body[: len(body) // 2]
    _reset(environ)
