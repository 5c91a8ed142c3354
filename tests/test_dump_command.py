"""`ait llm dump`: its options, the command that it runs, and what the library's probe sees."""

from __future__ import annotations

import os
import pty
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import ait_cmp
from ait_cmp.ait import main
from ait_cmp.dump.dump_request import DumpRequest, range_list
from ait_cmp.dump.elf import dynamic_symbols
from ait_cmp.dump.summary import dumped_files, summarize
from ait_cmp.values.errors import UsageError
from tests.dumps import ait_llm_dump

PYTHON = shlex.quote(sys.executable)
needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")

# -- options


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--type", "onnx"], "there is no type 'onnx'; choose from model, layer, op, kernel"),
        (["--type", "kernel"], "--type kernel is not offered by backend torch"),
        (["-tiling"], "--save-tiling asks for the library's tiling data"),
        (["-time", "0", "-stp", "1"], "asks for outputs before there are any"),
        (["-er", "3"], "--execute-range 3 is no list of closed ranges"),
        (["-er", "1,2,3"], "--execute-range 1,2,3 is no list of closed ranges"),
        (["-er", "5,3"], "--execute-range 5,3 ends before it begins"),
        (["-ids", "2,x"], "'x' in --save-operation-ids is no operation id"),
        (["--exec", "python 'a"], "--exec cannot be split into arguments: No closing quotation"),
        (["--exec", " "], "--exec is empty"),
        (["--exec", "/no/such/program"], "--exec cannot run '/no/such/program': no such file"),
        (["--output", "file/inside"], "--output"),
        (["--backend", "atb"], "ATB_HOME_PATH is not set"),
    ],
)
def test_bad_usage_is_one_sentence_and_status_2(
    options: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["llm", "dump", "--exec", "true", *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith("ait llm dump: error: ")
    assert sentence in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("option", [["-child", "maybe"], ["-time", "3"], ["-device", "x"]])
def test_the_parser_refuses_what_is_no_value(option: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["llm", "dump", "--exec", "true", *option])


@pytest.mark.parametrize(
    ("ids", "child", "names", "expected"),
    [
        # The probe's rule: an id and what is below it, or the start of a name; either is enough.
        ((), True, (), {"2", "2_3", "23", "3_1", "3_1_4"}),
        (("2", "3_1"), True, (), {"2", "2_3", "3_1", "3_1_4"}),
        (("2", "3_1"), False, (), {"2", "3_1"}),
        ((), True, ("SELF",), {"2_3"}),
        (("3_1",), False, ("self", "lin"), {"2_3", "3_1", "23"}),
    ],
)
def test_ids_and_names_select(
    ids: tuple[str, ...], child: bool, names: tuple[str, ...], expected: set[str]
) -> None:
    request = DumpRequest(
        "/o", save_operation_ids=ids, save_operation_child=child, operation_name=names
    )
    operations = {
        "2": "Layer",
        "2_3": "SelfAttention",
        "23": "Linear",
        "3_1": "Add",
        "3_1_4": "Mul",
    }
    selected = {
        key
        for key, name in operations.items()
        if request.selects(tuple(map(int, key.split("_"))), (name,))
    }
    assert selected == expected
    assert DumpRequest.from_json(request.to_json()) == request


def test_ranges_are_closed() -> None:
    request = DumpRequest("/o", execute_range=range_list("3,5,7,7"))
    assert [token for token in range(10) if request.covers(token)] == [3, 4, 5, 7]


# -- the command that is run


@pytest.mark.parametrize(
    ("command", "status"),
    [("true", 0), ("sh -c 'exit 7'", 7), ("sh -c 'kill -9 $$'", 137), ("sh -c 'kill $$'", 143)],
)
def test_the_exit_status_is_the_commands(command: str, status: int) -> None:
    done = ait_llm_dump(command)
    assert done.returncode == status
    assert "nothing was dumped to " in done.stderr
    assert f"the command ended with status {status}" in done.stderr or status == 0


def test_of_a_switch_that_was_off_it_is_asked() -> None:
    assert (
        "was it switched on (now) when a call began"
        in ait_llm_dump("true", "--switch", "now").stderr
    )
    assert "switched" not in ait_llm_dump("true").stderr


def test_stdin_and_stdout_pass_through_and_no_shell_is_between() -> None:
    done = ait_llm_dump("cat - '$HOME'", input="typed\n")
    assert done.stdout == "typed\n"
    assert "$HOME" in done.stderr  # the file that cat does not find
    piped = ait_llm_dump("echo a > b")
    assert piped.stdout == "a > b\n"
    assert "> is passed on as it is" in piped.stderr


def test_the_command_has_our_terminal() -> None:
    leader, follower = pty.openpty()
    try:
        assert ait_llm_dump("test -t 0", stdin=follower).returncode == 0
    finally:
        os.close(leader)
        os.close(follower)


COUNTS_SIGNALS = """
import signal, sys, time
seen = []
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, frame: seen.append(number))
print("ready", flush=True)
while not seen:
    time.sleep(0.01)
time.sleep(0.3)  # for a second one, if it comes
print(*seen, flush=True)
sys.exit(9)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_command_once_and_we_wait(number: int, tmp_path: Path) -> None:
    (tmp_path / "counts.py").write_text(COUNTS_SIGNALS)
    words = [sys.executable, "-m", "ait_cmp.dump", "--exec", f"{PYTHON} counts.py"]
    # A session of its own, as a terminal's foreground job is.
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # what Ctrl-C does
        else:
            os.kill(process.pid, number)
        output, error = process.communicate(timeout=60)
    assert output == f"{int(number)}\n"
    assert process.returncode == 9
    assert "nothing was dumped" in error


# -- backend atb, with stand-ins for the library and its probe

PROBE = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
extern char **environ;
__attribute__((constructor)) static void probe(void) {
    char path[4096];
    const char *steps[] = {"ait_dump", "/tensors", "/3_77", "/0", "/1_Linear", "/after"};
    if (!getenv("ATB_OUTPUT_DIR")) return;
    strcpy(path, getenv("ATB_OUTPUT_DIR"));  /* the probe appends without a slash */
    for (int i = 0; i < 6; i++) mkdir(strcat(path, steps[i]), 0755);
    FILE *file = fopen(strcat(path, "/outtensor0.bin"), "w");
    for (char **each = environ; *each; each++) fprintf(file, "%s\n", *each);
    fclose(file);
}
"""
# What `Probe::SaveTensor(std::string const&)` is called with either ABI.
SAVE_TENSOR = {
    0: "_ZN3atb5Probe10SaveTensorERKSs",
    1: "_ZN3atb5Probe10SaveTensorERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE",
}


def compiled(source: str, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    command = ["cc", "-shared", "-fPIC", "-xc", "-", "-o", str(target)]
    subprocess.run(command, input=source, text=True, check=True)
    return target


@pytest.fixture
def atb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ATB of ABI 1 and a toolkit with the probe of ABI 1."""
    compiled(f"int {SAVE_TENSOR[1]}(void) {{ return 0; }}", tmp_path / "atb/lib/libatb.so")
    compiled(PROBE, tmp_path / "cann/tools/ait_backend/dump/libatb_probe_abi1.so")
    monkeypatch.setenv("ATB_HOME_PATH", str(tmp_path / "atb"))
    monkeypatch.setenv("ASCEND_TOOLKIT_HOME", str(tmp_path / "cann"))
    return tmp_path


def seen(folder: Path) -> dict[str, str]:
    """The environment that the probe saw."""
    path = folder / "ait_dump/tensors/3_77/0/1_Linear/after/outtensor0.bin"
    pairs = (line.partition("=") for line in path.read_text().splitlines())
    return {name: value for name, _, value in pairs}


@needs_compiler
def test_the_probe_sees_the_defaults(atb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ATB_SAVE_TENSOR_IDS", "ATB_SAVE_TENSOR_RUNNER", "ATB_DEVICE_ID"):
        monkeypatch.setenv(name, "left from another run")
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    done = ait_llm_dump("true")
    assert done.returncode == 0, done.stderr
    environment = seen(atb)
    probe = atb / "cann/tools/ait_backend/dump/libatb_probe_abi1.so"
    assert environment["LD_PRELOAD"] == str(probe)
    assert int(environment.pop("ATB_CUR_PID")) > 1
    assert {name: value for name, value in environment.items() if name.startswith("ATB_")} == {
        "ATB_HOME_PATH": f"{atb}/atb",
        "ATB_SAVE_TENSOR": "1",
        "ATB_SAVE_TENSOR_TIME": "1",
        "ATB_SAVE_TENSOR_RANGE": "0,0",
        "ATB_SAVE_CHILD": "1",
        "ATB_SAVE_TENSOR_PART": "2",
        "ATB_SAVE_TILING": "0",
        "ATB_SAVE_CPU_PROFILING": "0",
        "ATB_OUTPUT_DIR": f"{atb}/",
        "ATB_DUMP_TYPE": "tensor",
        "ATB_AIT_LOG_LEVEL": "1",
    }
    size = (atb / "ait_dump/tensors/3_77/0/1_Linear/after/outtensor0.bin").stat().st_size
    report, compare, *_ = done.stderr.splitlines()
    assert f": 1 tensor of 1 token round and 0 other files, {size} bytes, in {atb}" in report
    assert f"my_path={atb}/ait_dump/tensors/3_77 output=report" in compare


@needs_compiler
def test_the_probe_sees_every_option(atb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = compiled("int other;", atb / "libother.so")
    monkeypatch.setenv("LD_PRELOAD", str(other))
    options = "--type model tensor cpu_profiling -sd -ids 2,3_1 -er 3,5,7,7 -child False -time 2"
    options += " -opname Self,LINEAR -tiling -stp 1 -o out -device 5 -l Critical"
    assert ait_llm_dump("true", *options.split()).returncode == 0
    environment = seen(atb / "out")
    expected = {
        "ATB_SAVE_TENSOR": "2",
        "ATB_SAVE_TENSOR_TIME": "2",
        "ATB_SAVE_TENSOR_IDS": "2,3_1",
        "ATB_SAVE_TENSOR_RUNNER": "self,linear",
        "ATB_SAVE_TENSOR_RANGE": "3,5,7,7",
        "ATB_SAVE_CHILD": "0",
        "ATB_SAVE_TENSOR_PART": "1",
        "ATB_SAVE_TILING": "1",
        "ATB_SAVE_CPU_PROFILING": "1",
        "ATB_OUTPUT_DIR": f"{atb}/out/",
        "ATB_DUMP_TYPE": "model|tensor|cpu_profiling",
        "ATB_DEVICE_ID": "5",
        "ATB_AIT_LOG_LEVEL": "5",
    }
    assert {name: environment[name] for name in expected} == expected
    first, rest = environment["LD_PRELOAD"].split(":", 1)
    assert (Path(first).name, rest) == ("libatb_probe_abi1.so", str(other))


@needs_compiler
@pytest.mark.parametrize("abi", [0, 1])
def test_the_probe_matches_the_librarys_abi(
    abi: int, atb: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    library = atb / "atb/lib/libatb.so"
    # One without strings of its own would be judged by all symbols: the other ABI's are there.
    source = f"int {SAVE_TENSOR[abi]}(void) {{ return 0; }} int {SAVE_TENSOR[1][10:]};"
    compiled(source, library)
    assert SAVE_TENSOR[abi] in dynamic_symbols(library)
    (atb / "cann/tools/ait_backend/dump/libatb_probe_abi1.so").unlink()
    assert main(["llm", "dump", "--exec", "true"]) == 2
    error = capsys.readouterr().err
    assert f"libatb_probe_abi{abi}.so is missing" in error
    assert error.count("\n") == 1


@needs_compiler
def test_what_is_missing_is_named(
    atb: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def error(*options: str) -> str:
        assert main(["llm", "dump", "--exec", "true", *options]) == 2
        return capsys.readouterr().err

    assert "there is no type 'onnx'" in error("--type", "onnx", "model")
    monkeypatch.setenv("ASCEND_TOOLKIT_HOME", "/nowhere")
    assert "the CANN toolkit is not at /nowhere" in error()
    (atb / "atb/lib/libatb.so").write_bytes(b"text")
    assert "libatb.so is no 64-bit little-endian ELF library" in error()
    (atb / "atb/lib/libatb.so").unlink()
    assert f"{atb}/atb/lib/libatb.so is missing" in error()
    assert main(["llm", "dump", "--exec", "true", "--backend", "torch"]) == 0


@needs_compiler
def test_a_damaged_library_is_said_to_be(atb: Path) -> None:
    library = atb / "atb/lib/libatb.so"
    content = library.read_bytes()
    for length in (0, 10, 64, len(content) // 2, len(content) - 1):
        library.write_bytes(content[:length])
        with pytest.raises(UsageError, match=r"libatb\.so is (empty|damaged|no 64-bit)"):
            dynamic_symbols(library)


def test_files_of_others_that_come_and_go_are_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "ait_dump/tensors/3_1/0/1_Linear/after"
    folder.mkdir(parents=True)
    for name in ("outtensor0.bin", ".7-7.bin.tmp"):
        (folder / name).write_bytes(b"data")
    lstat = os.lstat

    def renamed_meanwhile(path: str) -> os.stat_result:
        return lstat(path + ("gone" if path.endswith(".tmp") else ""))

    monkeypatch.setattr(os, "lstat", renamed_meanwhile)
    summary = summarize(tmp_path, {})
    assert (summary.tensors, summary.others, summary.bytes) == (1, 0, 4)
    assert dumped_files(tmp_path / "deleted") == {}


def test_what_could_not_be_saved_is_counted(tmp_path: Path) -> None:
    folder = tmp_path / "ait_dump/tensors/-1_7/0/1_Linear/after"
    folder.mkdir(parents=True)
    (folder / "outtensor0.bin.failed").write_text("a type that the format does not know")
    summary = summarize(tmp_path, {})
    assert (summary.tensors, summary.failed, summary.others) == (0, 1, 0)
    counted, said = summary.sentences()
    assert counted.startswith("0 tensors of 0 token rounds and 0 other files")
    assert said == "1 tensor could not be saved; FILE.failed in the place of each says why"


def test_the_closing_words_say_both_ways(tmp_path: Path) -> None:
    path = tmp_path / "ait_dump/tensors/-1_7/0/1_Linear/after/outtensor0.bin"
    path.parent.mkdir(parents=True)
    path.touch()
    where = tmp_path / "ait_dump/tensors/-1_7"
    _, said = summarize(tmp_path, {}).sentences()
    assert f"python -m ait_cmp golden_path=GOLDEN my_path={where} output=report" in said
    assert f"golden_path={where} my_path=MY" in said


def test_descriptions_alone_are_told_from_tensors(tmp_path: Path) -> None:
    script = "import torch; torch.nn.Linear(4, 3)(torch.ones(2, 4))"
    for side, options in (("golden", []), ("my", ["-sd"])):
        folder = tmp_path / side
        arguments = ["--exec", f"{sys.executable} -c '{script}'", "--output", str(folder)]
        done = subprocess.run(
            [sys.executable, "-m", "ait_cmp", "dump", *arguments, *options],
            capture_output=True,
            text=True,
            check=True,
        )
        assert ("without --only-save-desc" in done.stderr) == bool(options)
        assert ("compare it: " in done.stderr) != bool(options)
    run = ait_cmp.compare_dumps(golden_path=tmp_path / "golden", my_path=tmp_path / "my")
    assert {row.verdict.reason for row in run.rows} == {"NO_TENSOR"}
    assert "dump it without -sd" in run.rows[0].verdict.sentence


@needs_compiler
def test_only_what_this_run_wrote_is_counted(atb: Path) -> None:
    old = atb / "ait_dump/tensors/3_1/4/1_Linear/after/outtensor0.bin"
    old.parent.mkdir(parents=True)
    old.touch()
    for _ in range(2):  # the second run writes over the first's file, as a PID that comes again
        done = ait_llm_dump("true")
        assert ": 1 tensor of 1 token round" in done.stderr
        time.sleep(0.02)  # longer than a clock tick of the file system
