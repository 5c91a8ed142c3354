"""Web servers: files are read by ranges, folders as far as the server shows an index of them."""

from __future__ import annotations

import html
import posixpath
import re
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from urllib.parse import unquote, urljoin, urlsplit

from ait_cmp.files.stores.store import Store, Thing
from ait_cmp.files.stores.troubles import ChangedError, not_a_file, told
from ait_cmp.values.errors import PairError, Reason

__all__ = ["HttpStore"]

_LINK = re.compile(rb"<a\s[^>]*?href\s*=\s*[\"']([^\"']+)[\"'][^>]*>([^<]*)", re.IGNORECASE)
_WHOLE_LIMIT = 64 << 20  # bytes of an index, and of a file that a server without ranges may send
_PARTIAL, _NO_SUCH_RANGE = 206, 416


class HttpStore(Store):
    """A host, through fsspec's session of aiohttp; nothing is written to it."""

    notices_changes = True

    def look(self, url: str) -> Thing | None:
        try:
            _, headers, _, at = self._ask(url, "HEAD")
        except FileNotFoundError:
            return None
        return _thing(url, headers, at, int(headers.get("Content-Length", 0)))

    def entries(self, url: str) -> Sequence[Thing]:
        folder = f"{url.rstrip('/')}/"
        _, headers, page, _ = self._ask(folder, "GET")
        if not headers.get("Content-Type", "").startswith("text/html"):
            raise PairError(
                Reason.FILE_UNREADABLE,
                f"{url} cannot be listed: its server shows no index of it; name files, or a list "
                "of pairs",
            )
        own, names = urlsplit(folder), dict[str, bool]()
        for link, text in _LINK.findall(page):
            to = urlsplit(urljoin(folder, html.unescape(link.decode("utf-8", "replace"))))
            above, below = unquote(own.path), unquote(to.path)
            name, slash, rest = below.removeprefix(above).partition("/")
            is_below = to.netloc == own.netloc and below.startswith(above)
            if is_below and name and not rest and name not in (".", ".."):
                names[name] = bool(slash) or text.strip().endswith(b"/")
        return [Thing(name, is_folder=is_folder) for name, is_folder in names.items()]

    def first(self, url: str, length: int) -> tuple[Thing, bytes]:
        status, headers, data, at = self._ask(url, "GET", {"Range": f"bytes=0-{length - 1}"})
        if status == _NO_SUCH_RANGE:  # an empty file has no first byte
            return _thing(url, headers, at, 0), b""
        size = len(data)
        if status == _PARTIAL:
            size = int(headers["Content-Range"].rpartition("/")[2])
        thing = _thing(url, headers, at, size)
        if thing.is_folder:
            raise not_a_file(url)
        return thing, data

    def part(self, url: str, start: int, stop: int, thing: Thing) -> bytes:
        status, headers, data, at = self._ask(url, "GET", {"Range": f"bytes={start}-{stop - 1}"})
        if _thing(url, headers, at, thing.size).version != thing.version:
            raise ChangedError
        if status == _PARTIAL and int(headers["Content-Range"].rpartition("/")[2]) != thing.size:
            raise ChangedError
        return data if status == _PARTIAL else data[start:stop]

    def create(self, url: str, data: bytes) -> None:
        raise _refused(url)

    def write(self, url: str, local: str) -> None:
        raise _refused(url)

    def remove(self, url: str) -> None:
        raise _refused(url)

    def _ask(
        self, url: str, method: str, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], bytes, str]:
        """Status, headers, bytes and where redirections led. Raises PairError NOT_SUPPORTED where
        more than `_WHOLE_LIMIT` bytes come than were asked for."""
        # Packed on the way, a file would have other offsets.
        asked = {**self.fs.kwargs.get("headers", {}), "Accept-Encoding": "identity"}
        asked |= headers or {}
        others = {key: value for key, value in self.fs.kwargs.items() if key != "headers"}

        async def ask() -> tuple[int, Mapping[str, str], bytes, str]:
            session = await self.fs.set_session()
            request = session.request(
                method,
                self.fs.encode_url(_quoted(url)),
                headers=asked,
                allow_redirects=True,
                **others,
            )
            async with request as answer:
                if answer.status != _NO_SUCH_RANGE:
                    answer.raise_for_status()
                size = int(answer.headers.get("Content-Length") or 0)
                if method == "GET" and answer.status != _PARTIAL and size > _WHOLE_LIMIT:
                    raise _no_ranges(url, size)
                return answer.status, answer.headers, await answer.read(), str(answer.url)

        with told(url, "read"):
            return self.wait(ask)


def _thing(url: str, headers: Mapping[str, str], at: str, size: int) -> Thing:
    """A folder is what the server shows below a slash at the end, or as a page without a name."""
    name = posixpath.basename(url.rstrip("/"))
    is_page = headers.get("Content-Type", "").startswith("text/html")
    if urlsplit(at).path.endswith("/") or (is_page and ".htm" not in name):
        return Thing(name, is_folder=True)
    modified = 0.0
    if when := headers.get("Last-Modified"):
        try:
            modified = parsedate_to_datetime(when).timestamp()
        except ValueError:
            modified = 0.0
    version = "-".join(filter(None, (headers.get("ETag", "").strip('"'), when or "")))
    return Thing(name, size, version, modified)


def _quoted(url: str) -> str:
    """`url` whose ? and # are of names: no path has a query."""
    return url.replace("?", "%3F").replace("#", "%23")


def _no_ranges(url: str, size: int) -> PairError:
    return PairError(
        Reason.NOT_SUPPORTED,
        f"{url} is not supported: its server gives no ranges of a file, and this one has {size} "
        "bytes; copy it, and pass that path",
    )


def _refused(url: str) -> PairError:
    return PairError(
        Reason.NOT_SUPPORTED, f"{url} cannot be written: a web server is only read; write elsewhere"
    )
