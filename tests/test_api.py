"""The Python API takes the road of the command: the same settings, the same rows."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import ait_cmp
from ait_cmp import Growth, Limit, Rule, Tolerance, UsageError, compare_dumps
from ait_cmp.__main__ import main
from ait_cmp.measuring.progress import Progress
from ait_cmp.settings.hydra_jobs import Job, each_job
from ait_cmp.settings.keywords import settings_from
from ait_cmp.settings.resolve import resolve
from ait_cmp.settings.schema import setting_names
from ait_cmp.settings.values import Settings
from ait_cmp.values.tokens import parse_tokens
from tests.conftest import Dump

# What a setting is called as a keyword, where that is not its own name.
KEYWORDS = {
    "mapping.rules": "mapping_rules",
    "mapping.names": "mapping_names",
    "metrics.names": "metric_names",
    "metrics.extra": "extra_metrics",
    "report.csv.bom": "csv_bom",
    "report.details": "page",
    "report.paths": "page",
    "report.language": "page",
    "diagnosis.rows": "diagnosis_rows",
}
# What only a command has: how it prints, logs and exits.
OF_COMMANDS = {"dry_run", "fail_on", "learn_failing", "log_level", "report.worst", "report_path"}
# What the option of a group is, which its name chooses.
OF_OPTIONS = {
    *("mapping.kind", "metrics.definition", "executor.kind", "report", "report.csv"),
    "diagnosis",
}


def _by_keywords(**given: Any) -> Settings:
    parameters = inspect.signature(compare_dumps).parameters
    defaults = {name: one.default for name, one in parameters.items()}
    return settings_from(defaults | given)


def _by_command(*arguments: str) -> Settings:
    jobs: list[Job] = []
    each_job(arguments, jobs.append)
    return resolve(jobs[0].values())


def test_every_setting_has_a_keyword() -> None:
    keywords = set(inspect.signature(compare_dumps).parameters) - {"progress"}
    wanted = {
        KEYWORDS.get(name, name.rpartition(".")[2])
        for name in setting_names()
        if name not in OF_COMMANDS | OF_OPTIONS and not name.startswith("tolerance.")
    }
    assert wanted == keywords


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ([], {}),
        (["tokens=7"], {"tokens": 7}),
        (["data_ids=[a*,b]"], {"data_ids": ("a*", "b")}),
        (["data_ids=a*", "my_path=y"], {"data_ids": "a*", "my_path": Path("y")}),
        (
            ["path_map={/a:/b}", "allowed_roots=/tmp"],
            {"path_map": {"/a": "/b"}, "allowed_roots": "/tmp"},
        ),
        (
            ["mapping=tree", "mapping.my_adapters='transpose(0, 1)'"],
            {"mapping": "tree", "my_adapters": "transpose(0, 1)"},
        ),
        (
            ["mapping=rules", "mapping.rules=[{golden: 'a(?P<n>.)', my: 'b{n}'}]"],
            {"mapping": "rules", "mapping_rules": [{"golden": "a(?P<n>.)", "my": "b{n}"}]},
        ),
        (
            ["metrics=ait", "metrics.names=[cosine_similarity]", "metrics.epsilon=0.5"],
            {"metrics": "ait", "metric_names": ["cosine_similarity"], "epsilon": 0.5},
        ),
        (
            ["executor=processes", "executor.workers=3", "executor.row_timeout=null"],
            {"executor": "processes", "workers": 3, "row_timeout": float("inf")},
        ),
        (
            ["tolerance=int8", "tolerance.growth.level=5"],
            {"tolerance": Tolerance("int8", growth=Growth(grain=2**-6, level=5))},
        ),
        (["diagnosis.rows=0"], {"diagnosis_rows": 0}),
        (
            ["report.formats=[csv]", "report.keep_stats=false"],
            {"formats": ["csv"], "keep_stats": False},
        ),
        (
            ["report.details=3", "report.paths=relative", "report.language=zh"],
            {"page": {"details": 3, "paths": "relative", "language": "zh"}},
        ),
    ],
)
def test_both_roads_lead_to_the_same_settings(arguments: list[str], given: Any) -> None:
    by_command = _by_command("golden_path=x", "output=o", *arguments)
    assert by_command == _by_keywords(golden_path="x", output="o", **given)


def test_a_tolerance_of_python_arrives_as_it_is() -> None:
    tolerance = Tolerance(
        "mine",
        rules=(Rule({"rmse": Limit(max=0.5)}, ("a*",), parse_tokens("0-8/2"), ("float16",)),),
        default={"cosine_similarity": Limit(0.5, 0.75)},
        growth=Growth(level=3.0, noise={"layer0.q": 0.25}),
    )
    assert _by_keywords(golden_path="x", tolerance=tolerance).tolerance == tolerance


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"mapping": "nosuch"}, "mapping: there is no 'nosuch'"),
        ({"mapping_rules": [{"golden": "a", "my": "b"}]}, "take mapping=rules"),
        ({"mapping": "rules", "mapping_rules": [{"golden": "a", "mine": "b"}]}, "mine"),
        ({"workers": 0}, "executor.workers=0 must be above 0"),
        ({"epsilon": float("inf")}, "epsilon=inf must be"),
        ({"epsilon": float("nan")}, "epsilon=nan must be"),
        ({"epsilon": "nan"}, "epsilon=nan must be"),
        ({"epsilon": "1e-3"}, "epsilon=1e-3 must be"),
        ({"tolerance": "asend.yaml"}, "did you mean ascend"),
        ({"metric_names": ["rmsee"]}, "there is no 'rmsee'"),
        ({"formats": ["csv"]}, "pass output=FOLDER"),
        ({"page": {"detail": 3}, "output": "o"}, "page: there is no 'detail'; choose from details"),
        ({"page": {"language": "fr"}, "output": "o"}, "page language: there is no 'fr'"),
        ({"tolerance": {"rmsee": Limit(max=1)}}, "there is no metric 'rmsee'"),
        ({"allowed_roots": "/nowhere"}, "/nowhere is no folder"),
    ],
)
def test_mistakes_are_told_in_a_sentence(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        compare_dumps(golden_path="x", **given)


def test_without_output_nothing_is_written(
    make_dump: Dump, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dump, seen = make_dump(), list[Progress]()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    result = compare_dumps(golden_path=dump, progress=seen.append)
    assert result.passed
    assert seen[-1].rows_done == seen[-1].rows == 6
    assert not list((tmp_path / "empty").iterdir())


def test_with_output_the_report_is_that_of_the_command(make_dump: Dump, tmp_path: Path) -> None:
    dump = make_dump(wrong={(1, 2): torch.ones(4, 6)})
    result = compare_dumps(golden_path=dump, output="by_python", formats=["csv"])
    assert main([f"golden_path={dump}", "output=by_command"]) == 1
    reports = [tmp_path / f"by_{who}" / "cmp_report.csv" for who in ("python", "command")]
    assert reports[0].read_bytes() == reports[1].read_bytes()
    assert not (tmp_path / "by_python" / "cmp_report.parquet").exists()
    assert len(result.rows) == 6


def test_comparing_tensors_needs_no_hydra() -> None:
    code = (
        "import sys, json, torch, ait_cmp\n"
        "ait_cmp.compare(golden=torch.ones(2), my=torch.ones(2))\n"
        "print(json.dumps(list(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert "hydra" not in json.loads(done.stdout)


def test_some_metrics_of_two_tensors() -> None:
    ones = torch.ones(3)
    result = ait_cmp.compare(golden=ones, my=ones, metric_names=["rmse"])
    assert result.metrics == {"rmse": 0.0}
