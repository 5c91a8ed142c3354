"""Completion of the installed names, asked for by a real bash."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ait_cmp.__main__ import main

# As bash does at a Tab: the words of the line, and which of them the cursor is in.
TAB = """
eval "$({program} -sc install=bash)"
complete -p {program} >&2
COMP_LINE='{line}' COMP_POINT={point} COMP_WORDS=({line}{empty})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
hydra_bash_completion
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ait-cmp ca", {"calibrate"}),
        ("ait-cmp gol", {"golden_path="}),
        ("ait-cmp calibrate tolerance=in", {"tolerance=int8"}),
        ("ait-cmp golden_path=x report.k", {"report.keep_stats="}),
        ("ait-cmp dump --execu", {"--execute-range"}),
        ("ait llm ", {"compare", "dump", "watch", "--help"}),
        ("ait llm compare --my", {"--my-path"}),
    ],
)
def test_a_tab_in_bash(line: str, words: set[str], tmp_path: Path) -> None:
    program = line.split()[0]
    (tmp_path / "bin").mkdir()
    for name, module in (("ait-cmp", "ait_cmp"), ("ait", "ait_cmp.ait")):
        installed = tmp_path / "bin" / name
        installed.write_text(f'#!/bin/sh\nexec {sys.executable} -m {module} "$@"\n')
        installed.chmod(0o755)
    path = os.pathsep.join((str(tmp_path / "bin"), os.environ["PATH"]))
    empty = " ''" if line.endswith(" ") else ""
    script = TAB.format(program=program, line=line, point=len(line), empty=empty)
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={**os.environ, "PATH": path},
    )
    assert set(done.stdout.split()) == words
    assert done.stderr.endswith(f"hydra_bash_completion {program}\n")


def test_an_unknown_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-sc", "install=csh"]) == 2
    assert "csh" in capsys.readouterr().err
