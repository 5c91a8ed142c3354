"""Paths of stores keep their two slashes; those of this machine are what `os.path` makes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ait_cmp.values.paths import (
    absolute,
    common,
    is_absolute,
    is_below,
    is_url,
    join,
    normal,
    parent,
    relative,
    scheme_of,
    tidy,
)

NAMES = st.text(st.characters(exclude_characters="/:\0", codec="utf-8"), min_size=1).filter(
    lambda name: name not in (".", "..")
)
LOCAL = st.lists(NAMES | st.sampled_from([".", "..", "a:b", "3_aten::add"]), min_size=1).map(
    "/".join
)
URLS = st.tuples(st.sampled_from(["s3", "hdfs", "https"]), st.lists(NAMES, min_size=1)).map(
    lambda both: f"{both[0]}://store/{'/'.join(both[1])}"
)


@given(LOCAL)
def test_a_local_path_is_what_the_system_makes_of_it(path: str) -> None:
    assert not is_url(path)
    assert absolute(path) == os.path.abspath(path)
    assert normal(path) == os.path.normpath(path)
    assert parent(path) == os.path.dirname(path)
    assert tidy(path) == str(Path(path))
    assert join("/top", path) == os.path.join("/top", path)


@given(URLS, NAMES)
def test_what_is_in_a_folder_is_below_it(url: str, name: str) -> None:
    assert is_url(url)
    assert is_absolute(url)
    inner = f"{url}/{name}"
    assert (parent(inner), absolute(url), normal(f"{inner}/..")) == (url, url, url)
    assert normal(f"{url}/./{name}/") == inner
    assert is_below(inner, url)
    assert not is_below(f"{url}{name}", url)
    assert join("/top", url) == url
    assert common([inner, f"{url}/{name}2"]) == url
    assert relative(inner, url) == name
    assert relative(inner, "/top") == inner
    assert relative("/top/x", url) == "/top/x"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("S3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://bucket/../../x", "s3://bucket/x"),
        ("s3://bucket/a//b", "s3://bucket/a//b"),  # two names of a key
    ],
)
def test_a_store_is_no_folder_to_leave(path: str, expected: str) -> None:
    assert normal(path) == expected
    assert parent("s3://bucket") == "s3://bucket"
    assert parent("s3://bucket/a") == "s3://bucket"


@pytest.mark.parametrize("path", ["C:\\dumps", "~/dumps", "a:b", "x/y://z", "3_aten::add", "://"])
def test_a_colon_makes_no_store(path: str) -> None:
    assert scheme_of(path) == ""
    assert common(["/a/b", "s3://b/c"]) == ""
