"""`dump_data`: what it writes, that nothing that returned is lost, and what a call costs."""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ait_cmp import dump_data
from ait_cmp.dump import data as data_module
from ait_cmp.dump.metadata_file import MetadataFile
from ait_cmp.mapping import MAPPINGS, Wish
from ait_cmp.values.dtypes import DTYPES
from ait_cmp.values.errors import Reason

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def golden_tensor(root: Path, pid: int | None = None) -> Path:
    return root / "ait_dump" / f"{os.getpid() if pid is None else pid}_-1" / "golden_tensor"


def metadata(folder: Path) -> dict[str, dict[str, list[str]]]:
    """metadata.json as any tool reads it."""
    with open(folder / "metadata.json", encoding="utf-8") as file:
        content: dict[str, dict[str, list[str]]] = json.load(file)
    return content


def dumped(root: Path, tensor: torch.Tensor, data_id: str | int = "x") -> torch.Tensor:
    """`tensor`, dumped and loaded again."""
    dump_data(0, data_id, tensor, "my.bin", str(root))
    path, _ = metadata(golden_tensor(root))[str(data_id)]["0"]
    loaded: torch.Tensor = torch.load(path, weights_only=True)
    return loaded


def bits(tensor: torch.Tensor) -> bytes:
    flat = tensor.detach().clone(memory_format=torch.contiguous_format).reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes()


def child(code: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    """A fresh interpreter that runs `code`."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, **options)


# -- tensors


@pytest.mark.parametrize("dtype", [*DTYPES, "complex64", "complex128"])
def test_any_type_and_view_is_saved_bit_for_bit(dtype: str, tmp_path: Path) -> None:
    torch_dtype: torch.dtype = getattr(torch, dtype)
    raw = torch.randint(0, 2, (72 * torch_dtype.itemsize,), dtype=torch.uint8)
    tensor = raw.view(torch_dtype).reshape(4, 6, 3)
    views = [tensor, tensor.permute(2, 0, 1), tensor[1:, ::2], tensor[:1].expand(5, 6, 3)]
    for number, view in enumerate([*views, tensor[1, 2, 1], tensor[:0], tensor[:, :0]]):
        loaded = dumped(tmp_path, view, number)
        assert (loaded.dtype, loaded.shape) == (view.dtype, view.shape)
        assert bits(loaded) == bits(view)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.nn.Parameter(torch.ones(2, 3)),
        torch.ones(2, 3, requires_grad=True).t() * 2,
        torch.tensor([1 + 2j]).conj(),
        torch.tensor([1 + 2j]).conj().imag,
    ],
    ids=["parameter", "graph", "conj", "neg"],
)
def test_what_torch_tracks_is_saved_as_plain_values(tensor: torch.Tensor, tmp_path: Path) -> None:
    loaded = dumped(tmp_path, tensor)
    assert type(loaded) is torch.Tensor
    assert not loaded.requires_grad
    assert torch.equal(loaded, tensor.detach().resolve_conj().resolve_neg())


def test_a_view_saves_only_its_own_elements(tmp_path: Path) -> None:
    big = torch.zeros(1_000_000)
    for data_id, view in [("row", big[5:15]), ("empty", big[:0]), ("step", big[:100:10])]:
        dump_data(0, data_id, view, "my.bin", str(tmp_path))
        path, _ = metadata(golden_tensor(tmp_path))[data_id]["0"]
        assert os.path.getsize(path) < 4000


def test_later_changes_to_the_tensor_do_not_reach_the_file(tmp_path: Path) -> None:
    tensor = torch.ones(3)
    dump_data(0, "x", tensor, "my.bin", str(tmp_path))
    tensor.zero_()
    path, _ = metadata(golden_tensor(tmp_path))["x"]["0"]
    assert torch.load(path).tolist() == [1, 1, 1]


# -- what goes wrong


def test_a_dump_that_fails_warns_once_and_the_model_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_module, "_warned", set())
    (tmp_path / "file").touch()
    arguments: tuple[Any, ...] = ("x", torch.ones(1), "my.bin", tmp_path / "file")
    with pytest.warns(RuntimeWarning, match="could not save 'x' of token 0.*Not a directory"):
        dump_data(0, *arguments)
    for token in range(3):
        dump_data(token, *arguments)  # of which a second warning would be an error
    with pytest.raises(OSError, match="file"):
        dump_data(0, "x", torch.ones(1), "my.bin", tmp_path / "file", strict=True)
    with pytest.raises(TypeError):  # a mistake in the script is none of the disk's
        dump_data(0, "x", [1.0], "my.bin", tmp_path / "file")  # type: ignore[arg-type]


def test_a_key_that_comes_twice_warns_once_and_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_module, "_warned", set())
    dump_data(0, "x", torch.tensor(0), "my.bin", tmp_path)
    with pytest.warns(RuntimeWarning, match="'x' of token 0 more than once"):
        dump_data(0, "x", torch.tensor(1), "my.bin", tmp_path)
    dump_data(0, "x", torch.tensor(2), "my.bin", tmp_path)
    pairs = MAPPINGS["auto"](Wish(str(tmp_path)))
    reasons = [pair.error.reason for pair in pairs if pair.error]
    assert reasons == [Reason.ENTRY_DUPLICATE] * 2 + [Reason.MY_MISSING]
    assert torch.load(pairs[-1].golden.files[0]).item() == 2


@pytest.mark.parametrize("gone", ["ait_dump", "golden_tensor", "token", "metadata.json"])
@pytest.mark.parametrize("moved", [False, True])
def test_a_folder_that_is_deleted_or_moved_is_made_again(
    gone: str, moved: bool, tmp_path: Path
) -> None:
    dump_data(0, "x", torch.tensor(0), "my.bin", tmp_path, strict=True)
    folder = golden_tensor(tmp_path)
    places = {"ait_dump": tmp_path / "ait_dump", "golden_tensor": folder, "token": folder / "0"}
    place = places.get(gone, folder / "metadata.json")
    if moved:
        place.rename(tmp_path / "elsewhere")
    elif place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink()
    for token, data_id in ((0, "y"), (1, "x")):
        dump_data(token, data_id, torch.tensor(token), "my.bin", tmp_path, strict=True)
    recorded = metadata(folder)
    assert list(recorded) == ["x", "y"]  # what is gone is listed, so that its row says so
    assert torch.load(recorded["y"]["0"][0]).item() == 0
    assert torch.load(recorded["x"]["1"][0]).item() == 1


# -- names and places

ODD_IDS: list[str | int] = [
    "layers.0.attn",
    "layers/0/attn",
    "..",
    ".",
    "/etc/passwd",
    "../../escape",
    "with space",
    " ",
    "层.0.注意力",
    "x" * 300,
    "x" * 300 + "y",
    "层" * 300,
    "Case",
    "case",
    7,
    -1,
    "a\nb",
    "a\0b",
    'quote"\\',
    "\ud800",  # half a character: JSON can write it, UTF-8 cannot
    "metadata.json",
    "a_b",
    "a b",
    "a/b",
    "-flag",
    "CON",
    "a-0123456789abcdef",  # looks like the names that are made safe
]


def test_any_data_id_keeps_its_name_and_gets_a_file_of_its_own(tmp_path: Path) -> None:
    for number, data_id in enumerate(ODD_IDS):
        dump_data(0, data_id, torch.tensor(number), "my.bin", tmp_path)
    folder = golden_tensor(tmp_path)
    recorded = metadata(folder)
    assert list(recorded) == [str(data_id) for data_id in ODD_IDS]
    files = []
    for number, tokens in enumerate(recorded.values()):
        path = Path(tokens["0"][0])
        assert path.parent == folder / "0"  # nothing escapes
        assert path.name.endswith("_tensor.pth")
        assert torch.load(path).item() == number
        files.append(path.name)
    # Also where names differ in case only for some file systems.
    names = [name.casefold() for name in files]
    assert len(set(names)) == len(names) - 1  # "Case" and "case", which Linux tells apart
    assert sorted(os.listdir(folder / "0")) == sorted(files)


def test_plain_names_are_those_of_the_original_tool(tmp_path: Path) -> None:
    dump_data(3, "layers.0_out", torch.ones(1), "my.bin", tmp_path)
    assert (golden_tensor(tmp_path) / "3" / "layers.0_out_tensor.pth").is_file()


def test_arguments_may_be_given_in_any_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    dump_data(0, "positional", torch.ones(1), "lib/a.bin")
    dump_data(
        token_id="1",
        data_id="keyword",
        golden_data=torch.ones(1),
        my_path=Path("/lib/b.bin"),
        output_path=tmp_path,
    )
    dump_data(torch.tensor(2), 5, torch.ones(1), "c.bin", ".")
    recorded = metadata(golden_tensor(tmp_path))
    # Paths are absolute, so that they hold when compared from another folder.
    assert recorded["positional"]["0"][1] == str(tmp_path / "lib/a.bin")
    assert recorded["keyword"]["1"][1] == "/lib/b.bin"
    assert recorded["5"]["2"][1] == str(tmp_path / "c.bin")
    paths = [path for tokens in recorded.values() for pair in tokens.values() for path in pair]
    assert all(os.path.isabs(path) for path in paths)


def test_all_tokens_of_a_data_id_are_kept(tmp_path: Path) -> None:
    for token in range(30):
        for data_id in ("a", "b"):
            dump_data(token, data_id, torch.tensor(token), f"{token}.bin", tmp_path)
    recorded = metadata(golden_tensor(tmp_path))
    assert list(recorded) == ["a", "b"]
    for tokens in recorded.values():
        assert list(tokens) == [str(token) for token in range(30)]
        assert [torch.load(path).item() for path, _ in tokens.values()] == list(range(30))


def test_the_mapping_reads_what_was_dumped(tmp_path: Path) -> None:
    for data_id in ODD_IDS:
        dump_data(0, data_id, torch.ones(1), "gone.bin", tmp_path)
    pairs = MAPPINGS["auto"](Wish(str(tmp_path)))
    assert [pair.data_id for pair in pairs] == [str(data_id) for data_id in ODD_IDS]


GOOD: dict[str, Any] = {
    "token_id": 0,
    "data_id": "x",
    "golden_data": torch.ones(1),
    "my_path": "my.bin",
}


@pytest.mark.parametrize(
    ("argument", "value", "error"),
    [
        ("token_id", -1, ValueError),
        ("token_id", 10**18, ValueError),
        pytest.param("token_id", 10**5000, ValueError, id="more digits than Python prints"),
        ("token_id", "9" * 5000, TypeError),
        ("token_id", 1.0, TypeError),
        ("token_id", True, TypeError),
        ("token_id", None, TypeError),
        ("token_id", "one", TypeError),
        ("token_id", "-1", TypeError),
        ("token_id", "٣", TypeError),
        ("token_id", torch.ones(2), TypeError),  # has __index__, which then refuses
        ("token_id", torch.tensor(0.5), TypeError),
        ("data_id", "", ValueError),
        ("data_id", None, TypeError),
        ("data_id", 1.5, TypeError),
        ("data_id", True, TypeError),
        ("data_id", b"x", TypeError),
        ("golden_data", [1.0], TypeError),
        ("golden_data", None, TypeError),
        ("my_path", "", ValueError),
        ("my_path", "a\0b", ValueError),
        ("my_path", None, TypeError),
        ("my_path", b"x.bin", TypeError),
        ("my_path", 3, TypeError),
        ("output_path", "", ValueError),
        ("output_path", None, TypeError),
        ("output_path", 3, TypeError),
    ],
)
def test_wrong_arguments_raise_and_are_named(
    argument: str, value: Any, error: type[Exception], tmp_path: Path
) -> None:
    arguments = {"output_path": tmp_path} | GOOD | {argument: value}
    with pytest.raises(error, match=f"^{argument} "):
        dump_data(**arguments)
    assert not (tmp_path / "ait_dump").exists()


def test_an_output_path_that_is_a_file_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        dump_data(0, "x", torch.ones(1), "my.bin", tmp_path / "file", strict=True)


# -- the metadata file, against a model of plain dicts

Model = dict[str, dict[str, list[str]]]
LENGTHS = st.sampled_from([1, 2, 50, 500, 1300, 2000, 4090, 5000, 9000])
IDS = st.tuples(st.sampled_from('ab层\U0001f600"\n'), LENGTHS).map(lambda pair: pair[0] * pair[1])
CALLS = st.lists(st.tuples(IDS, st.integers(0, 10**17), LENGTHS), max_size=25)


def read(path: Path) -> Model:
    content: Model = json.loads(path.read_text())
    return content


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)
@given(calls=CALLS)
def test_metadata_is_valid_json_after_every_call(
    calls: list[tuple[str, int, int]], tmp_path: Path
) -> None:
    path = tmp_path / "metadata.json"
    path.unlink(missing_ok=True)
    file, model = MetadataFile(path), Model()
    for data_id, token, length in calls:
        file.add(data_id, token, "g" * length, "m")
        model.setdefault(data_id, {})[str(token)] = ["g" * length, "m"]
        recorded = read(path)
        assert recorded == model
        assert list(recorded) == list(model)  # the order of first appearance
    file.close()


@pytest.mark.parametrize("ids", [1, 3, 40, 300])
@pytest.mark.parametrize("length", [10, 100, 400])
def test_metadata_of_many_calls(ids: int, length: int, tmp_path: Path) -> None:
    file, model = MetadataFile(tmp_path / "metadata.json"), Model()
    for call in range(1200):
        data_id, token = f"{call % ids}{'x' * length}", call // ids
        file.add(data_id, token, f"/golden/{call}", "/my")
        model.setdefault(data_id, {})[str(token)] = [f"/golden/{call}", "/my"]
        if call % 97 == 0:
            assert read(tmp_path / "metadata.json") == model
    assert read(tmp_path / "metadata.json") == model
    file.close()


def by_token(ids: int, tokens: int) -> list[tuple[int, int]]:
    """The order of a model script: every layer, token by token."""
    return [(data_id, token) for token in range(tokens) for data_id in range(ids)]


def by_data_id(ids: int, tokens: int) -> list[tuple[int, int]]:
    return [(data_id, token) for data_id in range(ids) for token in range(tokens)]


@pytest.mark.parametrize(("ids", "tokens"), [(1, 6000), (6000, 1), (3000, 2), (600, 10), (10, 600)])
@pytest.mark.parametrize("order", [by_token, by_data_id])
def test_the_file_is_rewritten_ever_more_rarely(
    ids: int,
    tokens: int,
    order: Callable[[int, int], list[tuple[int, int]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rewrites = 0
    rewrite = MetadataFile._rewrite

    def counted(self: MetadataFile, *arguments: Any) -> None:
        nonlocal rewrites
        rewrites += 1
        rewrite(self, *arguments)

    monkeypatch.setattr(MetadataFile, "_rewrite", counted)
    file, calls = MetadataFile(tmp_path / "metadata.json"), order(ids, tokens)
    for data_id, token in calls:
        file.add(f"model.layers.{data_id}.attn", token, f"/d/{token}/{data_id}.pth", "/lib/o.bin")
    file.close()
    # Each rewrite at least doubles the room of what ran out of it.
    assert rewrites <= 2 * math.log2(len(calls))
    assert sum(map(len, read(tmp_path / "metadata.json").values())) == len(calls)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("operation", ["pwrite", "replace", "open", "close"])
def test_metadata_survives_ctrl_c_at_any_system_call(
    operation: str, moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A notebook goes on after Ctrl-C: what returned before it and after it must be there.
    path, rng, original = tmp_path / "metadata.json", random.Random(0), getattr(os, operation)
    interrupts = 0

    def interrupted(*arguments: Any) -> Any:
        nonlocal interrupts
        stop = rng.random() < 0.3
        result = None if stop and moment == "before" else original(*arguments)
        if stop:
            interrupts += 1
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(os, operation, interrupted)
    file, returned = MetadataFile(path), set()
    for call in range(90):
        data_id, token = f"{call % 7}{'x' * rng.randrange(300)}", call // 7
        with contextlib.suppress(KeyboardInterrupt):
            # More than a page makes the file be written anew.
            file.add(data_id, token, "g" * rng.choice([10, 90, 5000]), "m")
            returned.add((data_id, str(token)))
        recorded = read(path) if path.exists() else {}
        assert returned <= {(data_id, token) for data_id in recorded for token in recorded[data_id]}
    monkeypatch.undo()
    file.close()
    assert interrupts > 1


def test_a_full_disk_leaves_the_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, pwrite = MetadataFile(tmp_path / "metadata.json"), os.pwrite
    file.add("a", 0, "g", "m")

    def short(descriptor: int, text: bytes, position: int) -> int:
        return pwrite(descriptor, text[:7], position)

    monkeypatch.setattr(os, "pwrite", short)
    with pytest.raises(OSError, match=r"metadata\.json could not be written whole"):
        file.add("a", 1, "g", "m")
    monkeypatch.undo()
    assert read(tmp_path / "metadata.json") == {"a": {"0": ["g", "m"]}}
    file.add("b", 0, "g", "m")
    assert read(tmp_path / "metadata.json") == {"a": {"0": ["g", "m"]}, "b": {"0": ["g", "m"]}}
    file.close()


# -- threads and processes


def test_eight_threads_lose_nothing(tmp_path: Path) -> None:
    def work(thread: int) -> None:
        for call in range(200):
            data_id = f"shared.{call % 10}" if call % 2 else f"own.{thread}"
            token = thread * 200 + call
            dump_data(token, data_id, torch.tensor(token), f"{token}.bin", tmp_path)

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = [
        (int(token), paths)
        for tokens in metadata(golden_tensor(tmp_path)).values()
        for token, paths in tokens.items()
    ]
    assert sorted(token for token, _ in entries) == list(range(1600))
    for token, (golden, my) in entries[::10]:
        assert torch.load(golden).item() == token
        assert my == os.path.abspath(f"{token}.bin")


ENDINGS = """
import os, resource, signal, sys
import torch
from ait_cmp import dump_data

resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
root = sys.argv[1]
dump_data(0, "parent", torch.ones(1), "my.bin", root)
for ending in sys.argv[2:]:
    child = os.fork()
    if child == 0:
        for token in range(30):
            dump_data(token, "child", torch.tensor(token), "my.bin", root)
        exec(ending)
        sys.exit()
    print(child, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
dump_data(1, "parent", torch.ones(1), "my.bin", root)
print(os.getpid())
"""


def test_however_a_process_ends_and_forks_its_mapping_is_there(tmp_path: Path) -> None:
    endings = {
        "pass": 0,
        "raise ValueError": 1,
        "os._exit(9)": 9,  # no clean-up runs at all
        "os.kill(os.getpid(), signal.SIGINT)": -signal.SIGINT,  # Ctrl-C
        "os.abort()": -signal.SIGABRT,  # a crash in native code
    }
    process = child(ENDINGS, tmp_path, *endings, stderr=subprocess.DEVNULL)
    output, _ = process.communicate(timeout=60)
    *children, parent = output.splitlines()
    statuses = [(int(pid), int(status)) for pid, status in map(str.split, children)]
    assert [status for _, status in statuses] == list(endings.values())
    for pid, _ in statuses:
        recorded = metadata(golden_tensor(tmp_path, pid))
        assert list(recorded) == ["child"]
        assert list(recorded["child"]) == [str(token) for token in range(30)]
    # The parent's folder has nothing of its children's, and takes up where it was.
    assert list(metadata(golden_tensor(tmp_path, int(parent)))["parent"]) == ["0", "1"]


def test_two_runs_with_one_pid_do_not_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A PID comes again, and in containers it is often the same.
    monkeypatch.setattr(os, "getpid", lambda: 1)
    for run in range(3):
        monkeypatch.setattr(data_module, "_folders", {})  # what a new process starts with
        dump_data(0, f"run.{run}", torch.tensor(run), "my.bin", tmp_path)
    folders = sorted(os.listdir(tmp_path / "ait_dump"))
    assert folders == ["1_-1", "1_-1_1", "1_-1_2"]
    for run, folder in enumerate(folders):
        recorded = metadata(tmp_path / "ait_dump" / folder / "golden_tensor")
        assert list(recorded) == [f"run.{run}"]
        assert torch.load(recorded[f"run.{run}"]["0"][0]).item() == run


SAME_PID = """
import os, sys
import torch
from ait_cmp import dump_data

for child in range(4):
    if os.fork() == 0:
        os.getpid = lambda: 7
        for token in range(50):
            dump_data(token, child, torch.tensor(token), "my.bin", sys.argv[1], strict=True)
        os._exit(0)
for child in range(4):
    os.wait()
"""


def test_containers_of_one_pid_dump_side_by_side(tmp_path: Path) -> None:
    child(SAME_PID, tmp_path).communicate(timeout=60)
    folders = list((tmp_path / "ait_dump").iterdir())
    assert sorted(folder.name for folder in folders) == ["7_-1", "7_-1_1", "7_-1_2", "7_-1_3"]
    recorded = [metadata(folder / "golden_tensor") for folder in folders]
    assert sorted(key for one in recorded for key in one) == ["0", "1", "2", "3"]
    assert all(len(tokens) == 50 for one in recorded for tokens in one.values())


LOADER = """
import atexit, sys
import torch
from ait_cmp import dump_data

class Dumped(torch.utils.data.Dataset):
    def __len__(self):
        return 8
    def __getitem__(self, number):
        value = torch.tensor(number)
        dump_data(number, "worker", value, "my.bin", sys.argv[1], strict=True)
        return value

class Late:
    def __init__(self):
        self.call = dump_data, (1, "late", torch.ones(1), "my.bin", sys.argv[1])

    def __del__(self):
        self.call[0](*self.call[1])  # torch can save no more

if __name__ == "__main__":
    late = Late()  # goes when the interpreter has begun to end
    atexit.register(dump_data, 0, "late", torch.ones(1), "my.bin", sys.argv[1], strict=True)
    dump_data(0, "parent", torch.ones(1), "my.bin", sys.argv[1], strict=True)
    for start in ("fork", "spawn"):
        loader = torch.utils.data.DataLoader(
            Dumped(), num_workers=2, multiprocessing_context=start
        )
        assert sum(loader) == 28
"""


def test_workers_of_a_data_loader_and_the_end_of_the_interpreter(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(LOADER)
    process = subprocess.run(
        [sys.executable, tmp_path / "script.py", tmp_path],
        env=ENVIRONMENT,
        check=True,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
    )
    assert "Exception ignored" not in process.stderr
    assert "could not save 'late' of token 1" in process.stderr
    recorded = [metadata(path.parent) for path in tmp_path.rglob("metadata.json")]
    assert len(recorded) == 5  # the parent, and two workers of each kind
    workers = [one["worker"] for one in recorded if "worker" in one]
    assert sorted(int(token) for tokens in workers for token in tokens) == sorted([*range(8)] * 2)
    (parent,) = [one for one in recorded if "parent" in one]
    assert list(parent["late"]) == ["0", "1"]


LIGHT = """
import sys
import ait_cmp
print(*sorted({"torch", "numpy"} & set(sys.modules)))
from ait_cmp import dump_data
heavy = {"hydra", "omegaconf", "polars", "numba", "jinja2", "rich"}
print(*sorted(heavy & set(sys.modules)))
"""


def test_importing_is_light() -> None:
    output, _ = child(LIGHT).communicate(timeout=60)
    # The bare import takes not even torch; that of dump_data nothing that a model has not.
    assert output == "\n\n"
