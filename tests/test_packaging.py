"""What a stranger installs: a source archive, and the wheel that pip builds of it."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import ait_cmp

ROOT = Path(__file__).parent.parent


def run(*command: str | Path, folder: Path, status: int = 0) -> str:
    """What a command prints in `folder`, without the checkout in its way."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source archive, unpacked."""
    folder = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder, folder=ROOT)
    with tarfile.open(folder / f"ait_cmp-{ait_cmp.__version__}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder / f"ait_cmp-{ait_cmp.__version__}"


@pytest.fixture(scope="module")
def wheel(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of those sources, unpacked where a new interpreter finds it."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, folder=sources)
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv", folder=folder)
    (packages,) = folder.glob("venv/lib/python*/site-packages")
    (built,) = folder.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(packages)
    return packages


def files(folder: Path, *below: str) -> set[str]:
    """The files below these folders, by their path in `folder`."""
    found = (path for name in below for path in (folder / name).rglob("*") if path.is_file())
    return {str(path.relative_to(folder)) for path in found if "__pycache__" not in path.parts}


def test_the_source_archive_has_all_that_the_checkout_has(sources: Path) -> None:
    folders = ("ait_cmp", "conf", "docs", "scripts", "tests")
    assert files(sources, *folders) == files(ROOT, *folders)
    assert {path.name for path in ROOT.glob("[!.]*.*")} | {"LICENSE"} <= set(os.listdir(sources))


def test_the_wheel_has_the_package_and_its_config(wheel: Path) -> None:
    config = {f"ait_cmp/{name}" for name in files(ROOT, "conf")}
    assert files(wheel, "ait_cmp") == files(ROOT, "ait_cmp") | config
    assert {path.name for path in wheel.iterdir()} == {
        "ait_cmp",
        f"ait_cmp-{ait_cmp.__version__}.dist-info",
    }


def test_mypy_sees_the_types_of_an_installed_package(wheel: Path, tmp_path: Path) -> None:
    """`py.typed` says so; without it everything of the package is Any."""
    script = tmp_path / "script.py"
    script.write_text(
        "import ait_cmp\n"
        "result: str = ait_cmp.compare_dumps(golden_path='ait_dump')\n"
        "ait_cmp.dump_data('0', data_id=0)\n"
    )
    python = wheel.parents[2] / "bin" / "python"
    command: list[str | Path] = [sys.executable, "-m", "mypy", "--no-incremental"]
    command += ["--python-executable", python, script]
    printed = run(*command, folder=tmp_path, status=1)
    assert 'has type "RunComparison", variable has type "str"' in printed
    assert 'Missing positional arguments "golden_data", "my_path"' in printed


@pytest.mark.parametrize("system", ["darwin", "win32"])
@pytest.mark.parametrize("command", [["-m", "ait_cmp"], ["-m", "ait_cmp.calibrate"], ["ait-cmp"]])
def test_on_another_system_a_command_ends_with_a_sentence(
    system: str, command: list[str], tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.platform = {system!r}\n")
    (tmp_path / "ait-cmp").write_text("from ait_cmp.__main__ import main\n")
    done = subprocess.run(
        [sys.executable, *command],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    sentence = f"ait_cmp runs on Linux, not on '{system}': use a Linux machine or container\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", sentence)


def test_on_another_system_the_import_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ImportError, match=r"ait_cmp runs on Linux, not on 'darwin'"):
        importlib.reload(ait_cmp)
