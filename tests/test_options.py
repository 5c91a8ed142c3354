"""Files of options: the one that is named is read, as data by the schema, whoever asks."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ait_cmp import Limit, UsageError
from ait_cmp.__main__ import main
from ait_cmp.settings.options import load_option, read_option
from ait_cmp.settings.tolerances import load_tolerance
from tests.conftest import Dump
from tests.hostile import OPTION_FILES

MINE = "name: mine\ndefault: {rmse: {max: 1.0e-6}}\n"
Shown = Callable[..., dict[str, Any]]


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Shown:
    """The part of the config that arguments make, as `--cfg job` shows it."""

    def show(group: str, *arguments: str) -> dict[str, Any]:
        assert main([*arguments, "--cfg", "job", "--package", group, "--resolve"]) == 0
        found: dict[str, Any] = yaml.safe_load(capsys.readouterr().out)
        return found

    return show


def _write(path: str, text: str = MINE) -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "path",
    [
        "mine.yaml",
        "tolerance/dtype.yaml",
        "my/tolerance/none.yaml",
        "my,x/tolerance/calibrated.yaml",
        "a=b/{c}/${d}/[e] (f)/'g\"/容差 1.yaml",
        "team.yml",
    ],
)
def test_the_file_that_is_named_is_read(path: str, shown: Shown) -> None:
    _write("mine/tolerance/calibrated.yaml", "name: loose\n")
    assert shown("tolerance", f"tolerance={_write(path)}", "--config-dir", "mine")["name"] == "mine"
    assert shown("tolerance", f"tolerance={os.path.abspath(path)}")["name"] == "mine"
    assert load_tolerance(path).default == {"rmse": Limit(max=1e-6)}


def test_a_preset_of_the_users_folder_wins(shown: Shown) -> None:
    _write("mine/tolerance/none.yaml")
    _write("mine/tolerance/team/strict.yaml", "name: nested\n")
    _write("mine/mapping/auto.yaml", "kind: tree\n")
    folder = ("--config-dir", "mine")
    assert shown("tolerance", "tolerance=none", *folder)["name"] == "mine"
    assert shown("tolerance", "tolerance=none")["name"] == "none"
    assert shown("tolerance", "tolerance=team/strict", *folder)["name"] == "nested"
    assert shown("mapping", *folder)["kind"] == "tree"


def test_an_experiment_takes_options_as_data(shown: Shown) -> None:
    """The user's own config files stay Hydra's; what they choose is read as data even so."""
    _write(
        "mine/experiment/x.yaml",
        "# @package _global_\ndefaults: [override /tolerance: mine]\ntokens: '1_0'\n",
    )
    _write("mine/tolerance/mine.yaml", "name: ${oc.env:HOME}\n")
    arguments = ("+experiment=x", "--config-dir", "mine")
    assert shown("tolerance", *arguments)["name"] == "${oc.env:HOME}"


@pytest.mark.parametrize("group", ["mapping", "executor", "metrics", "report"])
def test_every_group_takes_files(group: str, shown: Shown) -> None:
    texts = {
        "mapping": "kind: rules\nrules: [{golden: '(?P<n>\\d+)', my: no}]\n",
        "executor": "kind: serial\n",
        "metrics": "definition: ait\nepsilon: 1e-3\nnames: [rmse]\n",
        "report": "formats: [csv]\nworst: 010\nkeep_stats: false\ncsv: {bom: true}\n",
    }
    values = shown(group, f"{group}={_write('any/where.yaml', texts[group])}")
    if group == "mapping":
        assert values["rules"][0]["golden"] == "(?P<n>\\d+)"
        assert values["rules"][0]["my"] == "no"
        assert load_option(group, "any/where.yaml").rules[0].my == "no"
    if group == "report":
        assert values == values | {
            "formats": ["csv"],
            "worst": 10,
            "keep_stats": False,
            "csv": {"bom": True},
        }


def test_overrides_add_to_a_file(shown: Shown) -> None:
    path = _write("x.yaml", f"{MINE}growth: {{noise: {{a.b: 0.5}}}}\n")
    values = shown(
        "tolerance",
        f"tolerance={path}",
        "+tolerance.default.rmse.min=0",
        "tolerance.growth.level=6",
    )
    assert values["default"] == {"rmse": {"max": 1e-6, "min": 0}}
    assert values["growth"]["level"] == 6
    assert values["growth"]["noise"] == {"a.b": 0.5}


def test_a_sweep_over_files(make_dump: Dump, tmp_path: Path) -> None:
    _write("a,b.yaml")
    _write("c.yaml", "name: c\nnonfinite: any\ndefault: {rmse: {max: 1e9}}\n")
    words = [f"golden_path={make_dump()}", "output=out", "executor=serial"]
    assert main(["-m", *words, "tolerance=a,b.yaml,strict,c.yaml"]) == 1
    rows = pl.read_parquet(tmp_path / "out" / "cmp_report.parquet")
    told = rows.group_by("job", maintain_order=True).agg(pl.col("status").unique())
    assert dict(told.iter_rows()) == {
        "tolerance=a,b.yaml": ["fail"],
        "tolerance=strict": ["fail"],
        "tolerance=c.yaml": ["pass"],
    }


@pytest.mark.parametrize("name", OPTION_FILES)
def test_a_hostile_file_is_refused_at_once(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    group, text, words = OPTION_FILES[name]
    path = _write(f"{group}/x.yaml", text)
    started = time.monotonic()
    with pytest.raises(UsageError, match=re.escape(words)):
        read_option(group, path)
    assert time.monotonic() - started < 1
    assert main([f"{group}={path}", "golden_path=x", "my_path=y"]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert f"the {group} {group}/x.yaml: " in error
    assert error.count("\n") == 1
    with pytest.raises(UsageError, match=re.escape(words)):
        load_option(group, path)
    assert not Path("pwned").exists()


@given(text=st.text(st.sampled_from("${}\\:ab'\" .,#\n?")))
def test_text_is_never_more_than_text(text: str) -> None:
    if text == "???":
        return
    path = _write("any.yaml", yaml.safe_dump({"name": text, "made": [text]}, default_style='"'))
    values = load_option("tolerance", path)
    assert values.name == text
    assert values.made == [text]


def test_a_missing_file_is_no_misspelt_preset(tmp_path: Path) -> None:
    """A file of a like name may have been meant; what is shipped has no suffix, and is meant only
    where a letter of a long name is wrong."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mapping2.yaml").touch()
    for name, told in (
        ("nofile.yaml", "does not exist; write the path of a file, or one of auto, files"),
        ("pair.yaml", "does not exist; write the path of a file, or one of auto, files"),
        ("metadta.yaml", "does not exist; did you mean metadata?"),
        ("rules.yaml", "does not exist; the shipped one is called without a suffix: mapping=rules"),
        ("mine/mapping.yaml", "does not exist; did you mean mine/mapping2.yaml?"),
    ):
        with pytest.raises(UsageError, match=re.escape(told)):
            read_option("mapping", name)


def test_what_is_no_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "folder.yaml").mkdir()
    os.mkfifo(tmp_path / "fifo.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9\n")
    for name in ("folder", "fifo", "latin", "nosuch", "a,b"):
        assert main([f"tolerance={name}.yaml", "golden_path=x"]) == 2
        assert f"{name}.yaml" in capsys.readouterr().err


@pytest.mark.parametrize("how", ["--config-name", "experiment"])
def test_a_config_of_ones_own_keeps_the_text_that_is_written(
    how: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = (
        "golden_path: 010\nmy_path: 1_0\noutput: 2024-01-02\ntokens: 0x1F\n"
        "data_ids: [1_0, no, 12:30, 007]\npath_map: {010: 1e3, 1_0: ''}\nrounds: +1\n"
        "allow_same: yes\nreport: {worst: 3}\nlog_level: ${oc.env:AIT_LEVEL}\n"
        "tolerance:\n  rules:\n  - {tokens: 010, data_ids: [1_1], limits: {rmse: {max: 1_0}}}\n"
    )
    if how == "experiment":
        place, chosen = tmp_path / "experiment" / "mine.yaml", ["+experiment=mine"]
        place.parent.mkdir()
        place.write_text(f"# @package _global_\n{written}")
    else:
        place, chosen = tmp_path / "mine.yaml", ["--config-name", "mine"]
        place.write_text(f"defaults: [config, _self_]\n{written}")
    monkeypatch.setenv("AIT_LEVEL", "error")
    assert main([*chosen, "--config-dir", str(tmp_path), "--cfg", "job", "--resolve"]) == 0
    found = yaml.load(capsys.readouterr().out, yaml.BaseLoader)
    assert (found["golden_path"], found["my_path"], found["output"]) == ("010", "1_0", "2024-01-02")
    assert (found["tokens"], found["rounds"], found["log_level"]) == ("0x1F", "+1", "error")
    assert found["data_ids"] == ["1_0", "no", "12:30", "007"]
    assert found["path_map"] == {"010": "1e3", "1_0": ""}
    assert (found["allow_same"], found["report"]["worst"]) == ("true", "3")
    (rule,) = found["tolerance"]["rules"]
    assert (rule["tokens"], rule["data_ids"]) == ("010", ["1_1"])
    assert rule["limits"]["rmse"]["max"] == "10"  # Hydra's number, of which no text is wanted
