"""Settings that are text arrive as they were typed, whatever Hydra's grammar makes of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from ait_cmp.__main__ import main
from ait_cmp.settings.hydra_jobs import Job, each_job
from ait_cmp.settings.quoting import as_typed, with_quotes
from ait_cmp.settings.resolve import resolve
from ait_cmp.settings.schema import Config
from ait_cmp.values.errors import UsageError
from ait_cmp.values.overrides import is_quoted, quoted, unquoted
from tests.conftest import Dump

# What YAML, Hydra's grammar or a shell take for something else than the text it is.
ODD = [
    *("1_0", "1234_0", "-1_11149", "010", "0x1F", "7e4321", "3.10", "1e5", ".5", "-", "+1"),
    *("no", "null", "NULL", "~", "~/dumps", "true", "inf", "nan", "12:30:45", "2024-01-02"),
    *("数据/甲", "报告", "x#1", "a&b", "it's", 'say "x"', "a;b!", "a b", " a ", "a\tb", "😀"),
    *("a=b", "a,b", "[a", "a]", "{a}", "(a)", "a(b,c)", "choice(a,b)", "$x", "${x}", "\\${x}"),
    *("\\", "a\\", "\\,", "*", "?", "%", "@x", "a|b", "'", '"', "'a','b'", "x::y", "..", "\udcff"),
]
TEXT = st.one_of(
    st.sampled_from(ODD),
    st.text(st.sampled_from("\\\"'${}[](),=:~ 1_0enul数"), min_size=1, max_size=8),
    st.text(min_size=1),
)


def jobs(*arguments: str) -> list[Job]:
    found: list[Job] = []
    each_job(arguments, found.append)
    return found


def config(*arguments: str) -> Config:
    (job,) = jobs(*arguments)
    return job.values()


def hydra_takes(override: str) -> Any:
    """The value that Hydra and omegaconf make of one override."""
    value = OverridesParser.create().parse_override(override).value()
    return OmegaConf.create({"it": value}).it


@pytest.mark.parametrize(
    "arguments",
    [
        ["golden_path=a", "tokens=0-9", "tolerance=strict", "tolerance.growth.excess=3"],
        [
            "golden_path='a=b'",
            "+tolerance.default.rmse.max=1",
            "~path_map",
            "output=${golden_path}",
        ],
        ["golden_path=a", "tokens=0,1"],
        ["golden_path=a", "tokns=0"],
        ["mapping=nosuch"],
        ["golden_path=[a"],
    ],
)
def test_what_is_composed_at_once_is_what_hydra_runs(arguments: list[str]) -> None:
    """Which does so itself where something of its own is asked."""
    assert composed(*arguments) == composed(*arguments, "hydra.job.name=its_own")


def composed(*arguments: str) -> object:
    try:
        (job,) = jobs(*arguments)
        return job.overrides, OmegaConf.to_yaml(job.config, resolve=True)
    except UsageError as exc:
        return str(exc)


@given(text=st.one_of(TEXT, st.text(st.sampled_from("\\\"'${a"))))
def test_quotes_keep_any_text(text: str) -> None:
    assert is_quoted(quoted(text))
    assert unquoted(quoted(text)) == text
    if text != "???":
        assert hydra_takes(f"k={quoted(text)}") == text


@given(text=TEXT)
def test_a_text_is_what_was_typed(text: str) -> None:
    """But for what is in quotes already, which are the user's."""
    if is_quoted(text) or text == "???":
        return
    for key in ("golden_path", "output", "+mapping.golden_adapters"):
        given_ = with_quotes(f"{key}={text}", sweeps=False)
        assert hydra_takes(given_) == text
        assert as_typed(given_) == f"{key}={text}"
    for key in ("my_path", "tokens"):
        taken = hydra_takes(with_quotes(f"{key}={text}", sweeps=False))
        assert taken == (None if text.lower() == "null" else text)


@given(texts=st.lists(st.text(min_size=1), min_size=1, max_size=3))
@example(["1_0", "010", "no"])
@example(["layer[1].*", "a,b", "x:y"])
def test_lists_of_text_are_what_was_typed(texts: list[str]) -> None:
    listed = ",".join(map(quoted, texts))
    assert "???" in texts or hydra_takes(with_quotes(f"data_ids=[{listed}]", sweeps=False)) == texts


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("data_ids=1_0", "1_0"),
        ("data_ids=[1_0, 010, no, null, 12:30, 层*]", ["1_0", "010", "no", "null", "12:30", "层*"]),
        ("data_ids=[layer[1].*,x{2,3},f(a, b)]", ["layer[1].*", "x{2,3}", "f(a, b)"]),
        ("data_ids=[\"a,b\",'c d',e'f]", ["a,b", "c d", "e'f"]),
        ("data_ids=[]", []),
        ("data_ids=layer[1].*", "layer[1].*"),
        ("data_ids=null", None),
        ("allowed_roots=[/数据,1_0]", ["/数据", "1_0"]),
        ("report.formats=[csv, parquet]", ["csv", "parquet"]),
    ],
)
def test_lists(typed: str, found: object) -> None:
    values = config("golden_path=x", typed)
    key = typed.partition("=")[0]
    assert (values.report.formats if key == "report.formats" else getattr(values, key)) == found


def test_mappings_of_text() -> None:
    rules = r"mapping.rules=[{golden: 1_0, my: 010}, {golden: layer\.(\d{1,3})\.q, my: 层.{1}}]"
    values = config("golden_path=x", "mapping=rules", rules)
    assert [(rule.golden, rule.my) for rule in values.mapping.rules] == [
        ("1_0", "010"),
        (r"layer\.(\d{1,3})\.q", "层.{1}"),
    ]
    for typed, found in (
        ("{/旧: /新, 1_0: 010}", {"/旧": "/新", "1_0": "010"}),
        ('{"/a:b": /c=d, /e f: "g,h"}', {"/a:b": "/c=d", "/e f": "g,h"}),
        ("{}", {}),
    ):
        settings = resolve(config("golden_path=x", f"path_map={typed}"))
        assert settings.wish.path_map.prefixes == found


def test_other_types_are_what_they_were() -> None:
    values = config(
        "golden_path=x",
        *("report.worst=3", "dry_run=true", "executor=processes", "executor.workers=2"),
        *("metrics.epsilon=1e-3", "+tolerance.default.rmse.max=0.01", "log_level=error"),
        "tolerance.rules=[{data_ids: [1_0], limits: {rmse: {max: 0.5}}, growth: false}]",
    )
    assert (values.report.worst, values.dry_run, values.executor.workers) == (3, True, 2)
    assert values.metrics.epsilon == 1e-3
    (rule,) = values.tolerance.rules
    assert (rule.data_ids, rule.growth) == (["1_0"], False)
    assert rule.limits == {"rmse": {"max": 0.5}}


def test_a_sweep_goes_through_texts(
    make_dump: Dump, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dump = make_dump(tokens=4)
    names = ["1_0", "数据", "a b"]
    for name in names:
        (tmp_path / name).symlink_to(dump)
    swept = 'golden_path=1_0,数据,"a b"'
    assert main(["-m", swept, "output=报告 1", "tokens=010,0+1"]) == 2  # no token 10
    capsys.readouterr()
    assert main(["-m", swept, "output=报告 1", "tokens=3,0+1"]) == 0
    merged = pl.read_csv(tmp_path / "报告 1" / "cmp_report.csv", infer_schema=False)
    assert merged["job"].unique(maintain_order=True).to_list() == [
        f"golden_path={name},tokens={tokens}" for name in names for tokens in ("3", "0+1")
    ]
    capsys.readouterr()
    assert main(["-m", "golden_path=choice(1_0)", "output=o", "tokens=0"]) == 2  # Hydra's own: 10
    assert "golden_path=10 does not exist" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["data_ids", "allowed_roots", "metrics.names", "report.formats"])
def test_several_values_without_a_sweep_are_refused(key: str) -> None:
    with pytest.raises(UsageError, match=rf"^{key}=a,b: write '{key}=\[a,b\]' for a list"):
        jobs("golden_path=x", f"{key}=a,b")


@pytest.mark.skipif(sys.platform == "darwin", reason="file names are Unicode there")
@pytest.mark.parametrize("name", ["1234_0", "7e4321", "010", "null", "数据", "a b", "${x}", "a,b"])
def test_folders_of_odd_names_are_compared(name: str, make_dump: Dump, tmp_path: Path) -> None:
    dump = make_dump()
    (tmp_path / name).symlink_to(dump)
    assert main([f"golden_path={name}", "tokens=0", "data_ids=layer0.*", "dry_run=true"]) == 0
