"""Paths as text, also those of a store behind a network: scheme://store/folder/file.

What `os.path` does to a local path would make another thing of an URL, whose :// is no doubled
slash and whose store no folder; these functions leave local paths to `os.path`.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Sequence
from pathlib import Path

__all__ = [
    "absolute",
    "common",
    "has_secret",
    "is_absolute",
    "is_below",
    "is_url",
    "join",
    "normal",
    "parent",
    "public",
    "relative",
    "scheme_of",
    "suffix_of",
    "tidy",
    "without_secrets",
]

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
# What stands before @ may be a secret; of these it is a container, or the name of a user.
_NAMED = ("abfs", "abfss", "az", "hdfs", "sftp")
_WEB = ("http", "https")
_USER = r"(?<=://)[^/\s?#]*@"
# The key of an object may have a ? in it, but hardly a signature.
_SIGNED = r"(?i)\?\S*(signature|sig|token|secret|password|accesskeyid|credential)="
_IN_TEXT = r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+"


def scheme_of(path: str) -> str:
    """What stands before :// in an URL, in small letters; nothing of a local path."""
    url = _URL.match(path) if "://" in path else None
    return url[1].lower() if url else ""


def is_url(path: str) -> bool:
    """Whether `path` is one of a store behind a network."""
    return "://" in path and _URL.match(path) is not None


def is_absolute(path: str) -> bool:
    """Whether `path` means the same in every folder."""
    return os.path.isabs(path) or is_url(path)


def normal(path: str) -> str:
    """`path` without `.`, `..` and a slash at its end."""
    if not is_url(path):
        return os.path.normpath(path)
    store, inner = _split(path)
    # posixpath would make one of two slashes, which in the key of an object are two.
    kept: list[str] = []
    for name in inner.split("/"):
        if name == "..":
            del kept[-1:]
        elif name != ".":
            kept.append(name)
    return store + "".join(f"/{name}" for name in kept).rstrip("/")


def absolute(path: str) -> str:
    """`path`, `normal` and from the root on."""
    return normal(path) if is_url(path) else os.path.abspath(path)


def join(folder: str, path: str) -> str:
    """`path` as it is meant in `folder`."""
    return path if is_url(path) else os.path.join(folder, path)


def tidy(path: str) -> str:
    """`path` as short as a person writes it, its `..` as they are."""
    return normal(path) if is_url(path) else str(Path(path))


def parent(path: str) -> str:
    """The folder that `path` is in; that of a whole store is itself."""
    if not is_url(path):
        return os.path.dirname(path)
    store, inner = _split(path)
    above, slash, _ = inner.rpartition("/")
    return f"{store}/{above}" if slash and above else store


def common(paths: Sequence[str]) -> str:
    """The longest folder that all of the absolute `paths` are in or are; nothing where there is
    none."""
    stores = {_split(path)[0] if is_url(path) else "" for path in paths}
    if stores == {""}:
        return os.path.commonpath(paths)
    if len(stores) != 1:
        return ""
    (store,) = stores
    return store + posixpath.commonpath([f"/{_split(path)[1]}" for path in paths]).rstrip("/")


def relative(path: str, start: str) -> str:
    """`path` as it is reached from `start`; all of it where one is of a store and the other not, or
    of another."""
    if is_url(path) != is_url(start):
        return path
    if not is_url(path):
        return os.path.relpath(path, start)
    one, other = _split(path), _split(start)
    if one[0] != other[0]:
        return path
    return posixpath.relpath(f"/{one[1]}", f"/{other[1]}")


def is_below(path: str, folder: str) -> bool:
    """Whether the absolute `path` is the absolute `folder` or in it."""
    return path == folder or path.startswith(folder if folder.endswith("/") else f"{folder}/")


def suffix_of(path: str) -> str:
    """The suffix of a file's name, in small letters, with its dot."""
    return os.path.splitext(path)[1].lower()


def has_secret(path: str) -> bool:
    """Whether an URL has a user, a password or a signature in it."""
    return is_url(path) and public(path) != path


def public(path: str) -> str:
    """An URL as everybody may read it: without user, password and query; any other path as is."""
    return _without(path) if is_url(path) else path


def without_secrets(text: str) -> str:
    """`text` with all URLs in it as `public` has them."""
    return re.sub(_IN_TEXT, lambda found: _without(found[0]), text) if "://" in text else text


def _without(url: str) -> str:
    user = re.search(_USER, url)
    if user and (":" in user[0] or scheme_of(url) not in _NAMED):
        url = url[: user.start()] + url[user.end() :]
    if scheme_of(url) in _WEB:
        return url.partition("?")[0]
    signed = re.search(_SIGNED, url)
    return url[: signed.start()] if signed else url


def _split(url: str) -> tuple[str, str]:
    """The store, with its scheme in small letters, and the path in it without the slash between."""
    scheme, rest = url.split("://", 1)
    store, _, inner = rest.partition("/")
    return f"{scheme.lower()}://{store}", inner
