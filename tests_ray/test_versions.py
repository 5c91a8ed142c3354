"""A node that has another version of this package, or none."""

from __future__ import annotations

import re

import pytest

from ait_cmp.__main__ import main
from ait_cmp.measuring.executor import ray_cluster
from tests.conftest import Dump, make_dump  # noqa: F401


def test_a_node_of_other_sources_does_nothing(
    make_dump: Dump,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(ray_cluster, "digest", lambda: "of another version")
    assert main([f"golden_path={make_dump()}", "executor=ray", "output=out"]) == 2
    *_, said = capsys.readouterr().err.splitlines()
    assert re.search(
        r"no node of the Ray cluster can work: node \S+ has another ait_cmp \S+, and this machine "
        r"\S+; install the same there",
        said,
    )
