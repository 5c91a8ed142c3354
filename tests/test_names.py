"""Names in lists of pairs and in metadata.json are text: no reader makes numbers of them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from ait_cmp.mapping import Wish, map_pairs
from ait_cmp.values.errors import Reason

NAMES = [
    *("1_0", "0x1F", "010", "12:30:45", "3.10", "2024-01-02", "no", "on", "true", "1e5", ".inf"),
    *("数据", "a b", "0o17", "+1", "-0", "<<", "=", "1,5", "it's", "layer[0]", "${x}", "😀"),
]
PATHS = {"golden": "g.bin", "my": "m.bin"}
Written = Callable[[Sequence[str]], str]


def _csv(names: Sequence[str]) -> str:
    file = io.StringIO()
    rows = csv.writer(file)
    rows.writerow(["data_id", "golden", "my"])
    rows.writerows([name, *PATHS.values()] for name in names)
    return file.getvalue()


def _entries(names: Sequence[str]) -> list[dict[str, str]]:
    return [{"data_id": name, **PATHS} for name in names]


WRITERS: dict[str, Written] = {
    "yaml": lambda names: yaml.safe_dump(_entries(names), allow_unicode=True),
    "json": lambda names: json.dumps(_entries(names)),
    "csv": _csv,
}


def _read(folder: Path, suffix: str, text: str) -> list[str]:
    path = folder / f"pairs.{suffix}"
    path.write_text(text, encoding="utf-8", newline="")
    return [pair.data_id for pair in map_pairs("pairs", Wish(str(path)))]


@pytest.mark.parametrize("suffix", WRITERS)
@given(
    names=st.lists(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1), min_size=1)
)
@example(names=NAMES)
def test_lists_keep_the_text_of_names(
    names: list[str], suffix: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("list")
    assert _read(folder, suffix, WRITERS[suffix](names)) == names


def test_plain_yaml_is_the_text_that_was_written(tmp_path: Path) -> None:
    plain = [name for name in NAMES if not set(name) & set(",[${'")]
    text = "".join(f"- {{data_id: {name}, golden: g.bin, my: m.bin}}\n" for name in plain)
    assert _read(tmp_path, "yaml", text) == plain


@pytest.mark.parametrize("suffix", ["yaml", "json", "csv"])
@pytest.mark.parametrize("token", ["010", "0x1F", "1_0", "1e1", "12:30", "0o12", "٣", "-1", "2.0"])
def test_a_token_is_the_decimal_that_was_written_or_refused(
    token: str, suffix: str, tmp_path: Path
) -> None:
    written = {
        "yaml": f"- {{data_id: a, token_id: {token}, golden: g.bin, my: m.bin}}",
        "json": json.dumps([{"data_id": "a", "token_id": token, **PATHS}]),
        "csv": f"data_id,token_id,golden,my\na,{token},g.bin,m.bin",
    }[suffix]
    path = tmp_path / f"pairs.{suffix}"
    path.write_text(written, encoding="utf-8")
    (pair,) = map_pairs("pairs", Wish(str(path)))
    assert pair.error is not None
    if token == "010":
        assert pair.token_id == 10
    else:
        assert (pair.token_id, pair.error.reason) == (None, Reason.ENTRY_MALFORMED)
        assert token in pair.error.sentence


def test_numbers_of_json_are_names_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "pairs.json"
    path.write_text(
        '[{"data_id": 10, "golden": "g", "my": "m"}, {"data_id": 1e1, "golden": "g", "my": "m"}]'
    )
    ten, refused = map_pairs("pairs", Wish(str(path)))
    assert ten.data_id == "10"
    assert refused.error is not None
    assert refused.error.reason is Reason.ENTRY_MALFORMED
