"""A corpus of hostile tensor files, each with the code that it must get.

    python -m tests.hostile FOLDER

makes them in FOLDER (new or empty), opens each, and prints code, time and memory.
"""

from __future__ import annotations

import io
import json
import os
import socket
import struct
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ait_cmp.values.errors import Reason
from tests.answering import answer_all

__all__ = ["CORPUS", "MAPPING_FILES", "OPTION_FILES", "Case", "make_corpus"]

Make = Callable[[Path], None]


@dataclass(frozen=True)
class Case:
    """A file, and the code that it must get."""

    path: Path
    reason: Reason


def make_corpus(folder: Path) -> list[Case]:
    """Write every file of the corpus to `folder`."""
    cases = []
    for name, (reason, make) in CORPUS.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        make(path)
        cases.append(Case(path, reason))
    return cases


# -- files of settings: group, text, and words of the one sentence that it must get

_BOMB = "name: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
_RUNS = "_target_: ait_cmp.dump.launch.run_command\narguments: [touch, pwned]\n"
OPTION_FILES: dict[str, tuple[str, str, str]] = {
    "a package of its own": (
        "tolerance",
        "# @package _global_\ntolerance: {name: x}\n"
        "hydra: {callbacks: {x: {_target_: os.system, command: touch pwned}}}\n",
        "there is no 'tolerance'; choose from name, nonfinite, rules",
    ),
    "hydra": ("mapping", "kind: tree\nhydra: {searchpath: [file:///tmp]}\n", "there is no 'hydra'"),
    "a target": ("tolerance", f"name: x\n{_RUNS}", "there is no '_target_'"),
    "a target inside": (
        "tolerance",
        "name: x\ngrowth: {_target_: os.system, _args_: [touch pwned]}\n",
        "growth: there is no '_target_'",
    ),
    "defaults": ("tolerance", "defaults: [dtype]\nname: x\n", "did you mean 'default'?"),
    "an environment": (
        "tolerance",
        "name: x\ngrowth: {level: '${oc.env:SECRET_TOKEN}'}\n",
        "growth.level must be a number, not '${oc.env:SECRET_TOKEN}'",
    ),
    "a resolver of a limit": (
        "tolerance",
        "name: x\ndefault: {rmse: {max: '${oc.decode:inf}'}}\n",
        "default.rmse.max must be a number, not '${oc.decode:inf}'",
    ),
    "a python object": (
        "mapping",
        "kind: !!python/object/apply:os.system [touch pwned]\n",
        "line 1: the tag 'tag:yaml.org,2002:python/object/apply:os.system' is not read",
    ),
    "aliases": ("mapping", _BOMB, "line 1: anchors and aliases are not read"),
    "a merge key": ("mapping", "<<: {kind: tree}\n", "line 1: the merge key << is not read"),
    "a key twice": ("mapping", "kind: tree\nkind: files\n", "line 2: 'kind' stands there twice"),
    "a rule twice": (
        "mapping",
        "kind: rules\nrules: [{golden: a, my: b, my: c}]\n",
        "line 2: 'my' stands there twice",
    ),
    "nesting": ("mapping", "kind: " + "[" * 100_000, "line 1: "),
    "nested mappings": ("tolerance", "{made: " * 100_000, "line 1: "),
    "a large file": ("mapping", "# " + "x" * (1 << 25), "bytes; at most"),
    "two documents": ("tolerance", "name: x\n---\nname: y\n", "a second document"),
    "a list": ("tolerance", "- name: x\n", "it must map names"),
    "text": ("mapping", "tree\n", "it must map names"),
    "a typo": ("mapping", "kind: tree\ngolden_adapter: t\n", "did you mean 'golden_adapters'?"),
    "a typo in a rule": (
        "tolerance",
        "name: x\nrules: [{limits: {}, data_id: [a]}]\n",
        "rules[0]: there is no 'data_id'; did you mean 'data_ids'?",
    ),
    "a typo in a limit": (
        "tolerance",
        "name: x\ndefault: {rmse: {maxi: 1}}\n",
        "default.rmse: there is no 'maxi'; did you mean 'max'?",
    ),
    "a typo in a choice": (
        "tolerance",
        "name: x\nnonfinite: alik\n",
        "nonfinite: there is no 'alik'; did you mean 'alike'?",
    ),
    "an underscore in a number": (
        "tolerance",
        "name: x\ndefault: {rmse: {max: 1_0}}\n",
        "default.rmse.max must be a number, not '1_0'",
    ),
    "a time": ("report", "formats: [csv]\nworst: 12:30\n", "worst must be a whole number"),
    "a hexadecimal number": ("report", "formats: [csv]\nworst: 0x10\n", "must be a whole number"),
    "a number too large": (
        "tolerance",
        "name: x\ndefault: {rmse: {max: 1e999}}\n",
        "default.rmse.max must be a number, not '1e999'",
    ),
    "a number of 60,000 digits": (
        "report",
        f"formats: [csv]\nworst: {'9' * 60_000}\n",
        "worst must be a whole number",
    ),
    "a name of a million letters": (
        "mapping",
        f"? {'kind' * 250_000}\n: 1\n",
        "there is no 'kindkind",
    ),
    "no bool": ("report", "formats: [csv]\nkeep_stats: no\n", "must be true or false, not 'no'"),
    "no list": ("report", "formats: csv\n", "formats must be a list, not 'csv'"),
    "no text": ("mapping", "kind: [tree]\n", "kind must be text, not a list"),
    "no name": ("mapping", "kind:\n", "kind must be text, not null"),
    "omegaconf's mark": ("mapping", "kind: ???\n", "stands for what must be given"),
}


# -- files that say who is compared with whom: names and texts of one folder

_ENTRY = '"a": {"0": ["g", "m"]}'
_LISTED = {"data_id": "a", "golden": "g", "my": "m"}
_RING = {f"n{number}": f"n{(number + 1) % 2000}" for number in range(2000)}
_CALLS = {
    "data": {name: {"output": [{"data_name": f"{name}.pt"}]} for name in _RING},
}


def _listed(**members: object) -> str:
    return json.dumps([{**_LISTED, **members}])


def _msprobe(data: str, parents: object) -> dict[str, str]:
    return {"rank0/dump.json": data, "rank0/construct.json": json.dumps(parents)}


MAPPING_FILES: dict[str, dict[str, str]] = {
    "a key 5,000 times": {"metadata.json": "{" + ", ".join([_ENTRY] * 5000) + "}"},
    "a token 5,000 times": {
        "metadata.json": '{"a": {' + ", ".join(['"0": ["g", "m"]'] * 5000) + "}}"
    },
    "brackets": {"metadata.json": "[" * 180_000},
    "nesting": {"metadata.json": '{"a": ' + "[" * 90_000 + "]" * 90_000 + "}"},
    "an open string in nesting": {
        "metadata.json": '{"a": ' + "[" * 2000 + '"' + '\\"' * 80_000,
    },
    "open strings": {"metadata.json": '{"a": ' + '["x\\"' * 45_000},
    "half characters": {"metadata.json": '{"' + "\\ud800" * 30_000 + '": {"0": ["g", "m"]}}'},
    "a number of 180,000 digits": {"metadata.json": '{"a": {"0": [' + "9" * 180_000 + ", 1]}}"},
    "paths of 2,000 parts": {
        "metadata.json": json.dumps({f"a{n}": {"0": ["g/" * 2000, "m/" * 2000]} for n in range(40)})
    },
    "members": {"pairs.json": _listed(**{f"k{number}": 1 for number in range(20_000)})},
    "a member 5,000 times": {"pairs.json": "[{" + ", ".join(['"data_id": "1"'] * 5000) + "}]"},
    "a list in lists": {"pairs.json": "[" * 100_000},
    "a long data_id": {"pairs.json": '[{"data_id": ' + "9" * 100_000 + "}]"},
    "adapters": {"pairs.json": _listed(my_adapters=" | ".join(["transpose(0, 1)"] * 5000))},
    "blanks for adapters": {"pairs.json": _listed(my_adapters=" " * 100_000 + "x")},
    "an adapter of parentheses": {"pairs.json": _listed(my_adapters="a(" * 50_000)},
    "an adapter of commas": {"pairs.json": _listed(my_adapters=f"slice({',' * 100_000})")},
    "an index of 100,000 digits": {"pairs.json": _listed(my_adapters=f"slice({'9' * 100_000})")},
    "joined nothing": {"pairs.json": _listed(golden=" + " * 50_000, golden_adapters="sum()")},
    "columns": {"pairs.csv": f"data_id,golden,my{',x' * 20_000}\na,b,c{',x' * 20_000}\n"},
    "an open quote": {"pairs.csv": 'data_id,golden,my\n"' + "x\n" * 100_000},
    "line ends": {"pairs.csv": "data_id,golden,my\n" + "\r" * 180_000},
    "a cell of 200,000 letters": {"pairs.csv": f"data_id,golden,my\na,{'b' * 200_000},c\n"},
    "a chain of modules": _msprobe(json.dumps(_CALLS), {**_RING, "n1999": None}),
    "a ring of modules": _msprobe(json.dumps(_CALLS), _RING),
    "modules in lists": _msprobe('{"data": {"a": {"output": ' + "[" * 100_000, {}),
    "modules that are no text": _msprobe(json.dumps(_CALLS), {name: [1] for name in _RING}),
    "no modules": _msprobe(json.dumps(_CALLS), [1]),
}


# -- .bin


def bin_header(**changes: object) -> bytes:
    """The header of a record of two float32, with attributes changed (None: left out)."""
    attributes: dict[str, object] = {
        "$Object.Count": 1,
        "$Object.Length": 8,
        "format": 2,
        "dtype": 0,
        "dims": 2,
        "$Object.data": "0,8",
    } | {name.replace("object_", "$Object."): value for name, value in changes.items()}
    lines = [f"{name}={value}\n" for name, value in attributes.items() if value is not None]
    return ("$Version=1.0\n" + "".join(lines) + "$End=1\n").encode()


def bin_files() -> Iterator[tuple[str, Reason, bytes]]:
    """(name, code, content)"""
    yield from _bin_sizes()
    yield from _bin_attributes()
    outside = {"up": "../up.bin", "absolute": "/etc/passwd", "dots": "..", "nul": "a\0b.bin"}
    for name, alias in outside.items():
        yield f"alias {name}", Reason.BIN_ALIAS, bin_alias(alias)
    yield "alias to itself", Reason.BIN_ALIAS, bin_alias("alias to itself.bin")
    yield "alias of 60,000", Reason.BIN_ALIAS, bin_alias("x" * 60_000)
    yield "alias to a far link", Reason.BIN_ALIAS, bin_alias("far link.bin")
    yield "alias to a FIFO", Reason.BIN_ALIAS, bin_alias("fifo.bin")


def _bin_sizes() -> Iterator[tuple[str, Reason, bytes]]:
    data, good = bytes(8), bin_header() + bytes(8)
    malformed, truncated = Reason.BIN_MALFORMED, Reason.BIN_TRUNCATED
    lying, trailing = Reason.BIN_INCONSISTENT, Reason.BIN_TRAILING
    yield "empty", malformed, b""
    yield "other format", malformed, b"\x93NUMPY\x01\x00"
    yield "header cut", truncated, good[:50]
    yield "start cut", truncated, b"$Vers"
    yield "data cut", truncated, good[:-1]
    yield "data missing", truncated, bin_header()
    yield "length beyond the file", truncated, bin_header(object_Length=10**18) + data
    yield "trailing zero", trailing, good + b"\0"
    yield "trailing text", trailing, good + b"and more"
    yield "second record cut", truncated, good + good[:-1]
    yield "second start cut", truncated, good + b"$Ver"
    yield "dims too large", lying, bin_header(dims=3) + data
    yield "dims too small", lying, bin_header(dims=1) + data
    yield "dims of exabytes", lying, bin_header(dims="999999999,999999999,999999999") + data
    yield "dims that overflow to 2", lying, bin_header(dims=f"2,{2**62 + 1},4") + data
    yield "many dims", malformed, bin_header(dims=",".join("9" * 30_000)) + data
    yield "1000 dims of 1", malformed, bin_header(dims=",".join("1" * 1000)) + data
    yield "data behind the length", lying, bin_header(object_data="4,8") + data


def _bin_attributes() -> Iterator[tuple[str, Reason, bytes]]:
    data, good, malformed = bytes(8), bin_header() + bytes(8), Reason.BIN_MALFORMED
    yield "negative dims", malformed, bin_header(dims=-2) + data
    yield "negative offset", malformed, bin_header(object_data="-8,8") + data
    yield "Arabic digits", malformed, bin_header(dims="٢") + data
    yield "superscript digits", malformed, bin_header(dims="²") + data
    yield "full-width digits", malformed, bin_header(dims="２") + data
    yield "blank in a number", malformed, bin_header(dims=" 2") + data
    yield "underscore in a number", malformed, bin_header(dims="1_0") + data
    yield "sign in a number", malformed, bin_header(dims="+2") + data
    yield "hexadecimal", malformed, bin_header(dims="0x2") + data
    yield "float", malformed, bin_header(dims="2.0") + data
    yield "number of 20 digits", malformed, bin_header(dims="9" * 20) + data
    yield "number of 60,000 digits", malformed, bin_header(dims="9" * 60_000) + data
    yield "no dtype", malformed, bin_header(dtype=None) + data
    yield "no length", malformed, bin_header(object_Length=None) + data
    yield "no data extent", malformed, bin_header(object_data=None) + data
    yield "dtype twice", malformed, good.replace(b"dtype=0\n", b"dtype=0\ndtype=0\n")
    yield "65 attributes", malformed, bin_header(**{f"a{n}": n for n in range(60)}) + data
    yield "line without =", malformed, good.replace(b"dtype=0\n", b"dtype=0\nnonsense\n")
    yield "header of 70 KB", malformed, bin_header(padding="x" * 70_000) + data
    yield "header without end", malformed, b"$Version=1.0\n" + b"a=b\n" * 50_000
    yield "5,000 records", malformed, good * 5000
    yield "unknown dtype", Reason.DTYPE_UNSUPPORTED, bin_header(dtype=99) + data
    yield "string dtype", Reason.DTYPE_UNSUPPORTED, bin_header(dtype=13) + data


def bin_alias(name: str) -> bytes:
    """A record that says that its data are in `name`."""
    return bin_header(object_Count=0, object_Length=0, object_data=None, data=name)


# -- .npy


def npy_file(header: str | bytes, data: bytes = bytes(8), version: bytes = b"\x01\x00") -> bytes:
    """A file with this header."""
    text = (header.encode() if isinstance(header, str) else header) + b"\n"
    length = struct.pack("<H" if version == b"\x01\x00" else "<I", len(text))
    return b"\x93NUMPY" + version + length + text + data


def npy_header(descr: object = "<f4", order: object = False, shape: object = (2,)) -> str:
    """The usual header."""
    return repr({"descr": descr, "fortran_order": order, "shape": shape})


def npy_files() -> Iterator[tuple[str, Reason, bytes]]:
    """(name, code, content)"""
    malformed, unsupported = Reason.NPY_MALFORMED, Reason.DTYPE_UNSUPPORTED
    yield "empty", malformed, b""
    yield "magic only", malformed, b"\x93NUMPY\x01\x00"
    yield "unknown version", malformed, npy_file(npy_header(), version=b"\x09\x00")
    yield "header longer than the file", malformed, b"\x93NUMPY\x01\x00\xff\xff{}"
    yield "header of 4 GB", malformed, b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}"
    yield "header of 60 KB", malformed, npy_file(npy_header() + " " * 60_000)
    yield "data cut", malformed, npy_file(npy_header())[:-1]
    yield "data behind", malformed, npy_file(npy_header()) + b"x"
    yield "objects", unsupported, npy_file(npy_header("|O"), b"cos\nsystem\n(S'true'\ntR.")
    yield "structure", unsupported, npy_file(npy_header([("a", "<f4"), ("b", "|O")]))
    yield "structure in text", unsupported, npy_file(npy_header("f4,O"))
    yield "text", unsupported, npy_file(npy_header("<U1"))
    yield "complex", unsupported, npy_file(npy_header("<c32", shape=(1,)), bytes(32))
    yield "void", unsupported, npy_file(npy_header("|V4"))
    yield "no size", malformed, npy_file(npy_header("|S0"))
    yield "long double", unsupported, npy_file(npy_header("<f16"), bytes(32))
    yield "negative shape", malformed, npy_file(npy_header(shape=(-2,)))
    yield "shape of booleans", malformed, npy_file(npy_header(shape=(True, 2)))
    yield "shape of floats", malformed, npy_file(npy_header(shape=(2.0,)))
    yield "shape that is a list", malformed, npy_file(npy_header(shape=[2]))
    yield "shape of exabytes", malformed, npy_file(npy_header(shape=(10**18,)))
    yield "shape that overflows", malformed, npy_file(npy_header(shape=(2, 2**62 + 1, 4)))
    yield "empty of exabytes", malformed, npy_file(npy_header(shape=(0, 10**30)), b"")
    yield "100 dimensions", malformed, npy_file(npy_header(shape=(1,) * 100 + (2,)))
    yield "descr of 5 KB", malformed, npy_file(npy_header("<f4" + "," * 5000))
    yield "order that is a number", malformed, npy_file(npy_header(order=1))
    yield "no shape", malformed, npy_file("{'descr': '<f4', 'fortran_order': False}")
    yield "code", malformed, npy_file("__import__('os').system('true')")
    yield "deep", malformed, npy_file("(" * 4000 + ")" * 4000)
    yield "signs", malformed, npy_file("-" * 5000 + "1")
    yield "additions", malformed, npy_file("1+" * 4500 + "1")
    yield "digits", malformed, npy_file(npy_header().replace("2", "9" * 5000))
    yield "not UTF-8", malformed, npy_file(b"\xff\xfe{}")
    yield "zip", Reason.NOT_A_TENSOR, b"PK\x03\x04" + bytes(100)


# -- .npz


def npz_file(array: bytes, method: int = zipfile.ZIP_STORED, name: str = "a.npy") -> bytes:
    """An archive of this array and no other."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        archive.writestr(name, array)
    return target.getvalue()


def npz_files() -> Iterator[tuple[str, Reason, bytes]]:
    """(name, code, content)"""
    malformed, array = Reason.NPZ_MALFORMED, npy_file(npy_header())
    good = npz_file(array)
    yield "empty", malformed, b""
    yield "text", malformed, b"hello"
    yield "an array", malformed, array
    yield "start only", malformed, good[:4]
    yield "cut", malformed, good[:-30]
    yield "more behind", malformed, good + b"x"
    yield "behind a prefix", malformed, b"PK\x03\x04" + good
    yield "names that differ", malformed, patched(good, b"a.npy", b"b.npy")
    yield "array cut", malformed, npz_file(array[:-1])
    yield "array with more behind", malformed, npz_file(array + b"x")
    yield "array of exabytes", malformed, npz_file(npy_file(npy_header(shape=(10**18,))))
    yield "compressed", Reason.NOT_SUPPORTED, npz_file(array, zipfile.ZIP_DEFLATED)
    bomb = npy_file(npy_header(shape=(2_000_000,)), bytes(8_000_000))
    yield "bomb", Reason.NOT_SUPPORTED, npz_file(bomb, zipfile.ZIP_DEFLATED)
    yield (
        "objects",
        Reason.DTYPE_UNSUPPORTED,
        npz_file(npy_file(npy_header("|O"), b"cos\nsystem\n")),
    )
    yield "no array", Reason.NOT_A_TENSOR, npz_file(b"hello", name="a.txt")
    yield "no entry", Reason.NOT_A_TENSOR, b"PK\x05\x06" + bytes(18)
    yield "of torch", Reason.NOT_A_TENSOR, zip_file(tensor_pickle())


# -- .safetensors


def safetensors_file(header: object, data: bytes = bytes(8), length: int | None = None) -> bytes:
    """A file with this header, as JSON where it is no bytes."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def safetensors_entry(**changes: object) -> dict[str, object]:
    """The entry of two float32."""
    return {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes


def safetensors_files() -> Iterator[tuple[str, Reason, bytes]]:
    """(name, code, content)"""
    one, malformed = safetensors_entry(), Reason.SAFETENSORS_MALFORMED

    def holding(**changes: object) -> bytes:
        return safetensors_file({"a": safetensors_entry(**changes)})

    yield "empty", malformed, b""
    yield "short", malformed, b"1234567"
    yield "header of exabytes", malformed, safetensors_file({"a": one}, length=2**63)
    yield "header of 5 MB", malformed, safetensors_file(b" " * 5_000_000)
    yield "no JSON", malformed, safetensors_file(b"{")
    yield "a list", malformed, safetensors_file([])
    yield "deep", malformed, safetensors_file(b"[" * 100_000)
    yield "number of 5,000 digits", malformed, safetensors_file(b'{"a": ' + b"9" * 5000 + b"}")
    twice = f'{{"a": {json.dumps(one)}, "a": {json.dumps(one)}}}'.encode()
    yield "name twice", malformed, safetensors_file(twice)
    yield "key twice", malformed, safetensors_file(twice.replace(b'"dtype"', b'"shape"'))
    yield "no entry", malformed, safetensors_file({"a": None})
    yield "data cut", malformed, safetensors_file({"a": one}, bytes(7))
    yield "data behind", malformed, safetensors_file({"a": one}, bytes(9))
    yield (
        "gap in front",
        malformed,
        safetensors_file({"a": safetensors_entry(data_offsets=[4, 12])}, bytes(12)),
    )
    yield "overlap", malformed, safetensors_file({"a": one, "b": one})
    yield "reversed", malformed, holding(data_offsets=[8, 0])
    yield "negative offsets", malformed, holding(data_offsets=[-8, 0])
    yield "three offsets", malformed, holding(data_offsets=[0, 8, 8])
    yield "offsets of floats", malformed, holding(data_offsets=[0.0, 8.0])
    yield "shape of text", malformed, holding(shape="ab")
    yield "shape of exabytes", malformed, holding(shape=[10**18])
    yield "shape negative twice", malformed, holding(shape=[-1, -2])
    yield "100 dimensions", malformed, holding(shape=[1] * 100 + [2])
    yield "dtype that is a list", malformed, holding(dtype=["F32"])
    yield "unknown dtype", Reason.DTYPE_UNSUPPORTED, holding(dtype="F3")
    yield "no tensor", Reason.NOT_A_TENSOR, safetensors_file({"__metadata__": {}}, b"")


# -- .pth: pickles by hand, since no writer would write these

STORAGE = b"((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"
ORDERED = b"ccollections\nOrderedDict\n)R"


def number(value: int) -> bytes:
    """An int as a pickle has it."""
    raw = value.to_bytes(max(1, value.bit_length() // 8 + 1), "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def numbers(*values: int) -> bytes:
    """A tuple of ints."""
    return b"(" + b"".join(map(number, values)) + b"t"


def tensor_pickle(
    shape: tuple[int, ...] = (2,),
    strides: tuple[int, ...] = (1,),
    *,
    offset: int = 0,
    count: int = 2,
) -> bytes:
    """The pickle of a tensor in the storage "0" of `count` float32."""
    place = number(offset) + numbers(*shape) + numbers(*strides)
    return (
        b"\x80\x02" + REBUILD + STORAGE + number(count) + b"tQ" + place + b"\x89" + ORDERED + b"tR."
    )


def zip_file(
    pickled: bytes,
    data: bytes = bytes(8),
    method: int = zipfile.ZIP_STORED,
    more: Mapping[str, bytes] | None = None,
) -> bytes:
    """A torch file with this pickle and storage, and further entries."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/data/0", data)
        for name, content in (more or {}).items():
            archive.writestr(name, content)
    return target.getvalue()


def call(name: str, *, arguments: bytes = b")") -> bytes:
    """A pickle that calls a function."""
    module, _, function = name.rpartition(".")
    return f"\x80\x02c{module}\n{function}\n".encode("latin-1") + arguments + b"R."


def patched(content: bytes, old: bytes, new: bytes, which: int = -1) -> bytes:
    """`content` with one occurrence of `old`, the last by default, replaced at equal length."""
    parts = content.split(old)
    place = which % (len(parts) - 1) + 1
    return old.join(parts[:place]) + new + old.join(parts[place:])


def end_record(content: bytes, **changes: int) -> bytes:
    """`content` with fields of the record at its end changed."""
    names = ("disk", "first", "here", "count", "size", "start", "comment")
    values = dict(zip(names, struct.unpack("<4H2IH", content[-18:]), strict=True)) | changes
    return content[:-18] + struct.pack("<4H2IH", *values.values())


def overlapping() -> bytes:
    """A zip whose storage entry is the bytes of the pickle entry: two names for one place."""
    whole = zip_file(tensor_pickle(), b"12345678")
    start = struct.unpack("<I", whole[-6:-2])[0]
    name = whole.index(b"archive/data/0", start)
    return whole[: name - 4] + bytes(4) + whole[name:]


def nested_tuples(depth: int) -> bytes:
    """A pickle of a dict whose key is a tuple of 2**depth parts; its hash takes for ever."""
    return b"\x80\x02})" + b"2\x86" * depth + b"K\x01s."


def pth_files() -> Iterator[tuple[str, Reason, bytes]]:
    """(name, code, content)"""
    yield from _pth_zips()
    yield from _pth_pickles()
    yield from _pth_tensors()
    yield from _pth_calls()
    yield from _pth_legacy()


def _pth_zips() -> Iterator[tuple[str, Reason, bytes]]:
    good, malformed = zip_file(tensor_pickle()), Reason.PTH_MALFORMED
    yield "empty", malformed, b""
    yield "text", malformed, b"hello"
    yield "zip start only", malformed, b"PK\x03\x04"
    yield "zip cut", malformed, good[:-30]
    yield "zip with a comment", malformed, end_record(good, comment=5) + b"hello"
    yield "zip behind a prefix", malformed, b"PK\x03\x04" + good
    yield "zip with more behind", malformed, good + b"x"
    yield "directory of 4 GB", malformed, end_record(good, size=2**32 - 2)
    yield "directory elsewhere", malformed, end_record(good, start=0)
    yield "65,000 entries", malformed, end_record(good, count=65_000, here=65_000)
    yield "fewer entries", malformed, end_record(good, count=1, here=1)
    yield "two disks", malformed, end_record(good, disk=1)
    for name, size, method in (
        ("compressed", 8000, zipfile.ZIP_DEFLATED),
        ("zip bomb", 5_000_000, zipfile.ZIP_DEFLATED),
        ("compressed by bzip2", 8000, zipfile.ZIP_BZIP2),
    ):
        packed = zip_file(tensor_pickle(), bytes(size), method)
        yield name, Reason.NOT_SUPPORTED, packed
    yield "encrypted", malformed, patched(good, b"PK\x01\x02\x14\x03\x14\x00\x00\x00",
        b"PK\x01\x02\x14\x03\x14\x00\x01\x00")  # fmt: skip
    yield "names that differ", malformed, patched(good, b"archive/data/0", b"archive/data/1")
    two = zip_file(tensor_pickle(), more={"archive/data/1": bytes(8)})
    yield "name twice", malformed, two.replace(b"archive/data/1", b"archive/data/0")
    yield "overlap", malformed, overlapping()
    yield "no pickle", malformed, good.replace(b"data.pkl", b"data.xyz")
    yield "no storage", malformed, good.replace(b"data/0", b"data/9")
    yield "checksum", malformed, good.replace(b"\x80\x02ctorch", b"\x80\x03ctorch")


def _pth_pickles() -> Iterator[tuple[str, Reason, bytes]]:
    malformed = Reason.PTH_MALFORMED
    unsupported = Reason.NOT_SUPPORTED
    yield "many values", unsupported, zip_file(b"\x80\x02" + b"N0" * 200_000 + b"N.")
    yield "old opcodes", unsupported, zip_file(b"\x80\x02I1\n.")
    yield "list in itself", Reason.NOT_A_TENSOR, zip_file(b"\x80\x02]q\x00h\x00a.")
    yield "pickle cut", malformed, zip_file(tensor_pickle()[:-1])
    yield "memo of gigabytes", malformed, zip_file(b"\x80\x02Nr\xff\xff\xff\x0f0h\x05.")
    yield "bytes of exabytes", malformed, zip_file(b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7fN.")
    yield "bytearray of exabytes", malformed, zip_file(b"\x80\x05\x96" + b"\xff" * 7 + b"\x7fN.")
    yield "frame of exabytes", malformed, zip_file(b"\x80\x04\x95" + b"\xff" * 7 + b"\x7fN.")
    yield "stack underflow", malformed, zip_file(b"\x80\x02000.")
    yield "unknown opcode", malformed, zip_file(b"\x80\x02\xff.")
    yield "key that hashes for ever", unsupported, zip_file(nested_tuples(200))


def _pth_tensors() -> Iterator[tuple[str, Reason, bytes]]:
    malformed = Reason.PTH_MALFORMED
    yield "storage of exabytes", malformed, zip_file(tensor_pickle(count=10**18))
    yield "storage of less", malformed, zip_file(tensor_pickle(count=1))
    yield "offset behind the storage", malformed, zip_file(tensor_pickle(offset=2))
    yield "negative offset", malformed, zip_file(tensor_pickle(offset=-1))
    yield "negative stride", malformed, zip_file(tensor_pickle(strides=(-1,)))
    yield "stride behind the storage", malformed, zip_file(tensor_pickle(strides=(10**9,)))
    yield "shape that overflows", malformed, zip_file(tensor_pickle((2, 2**62), (1, 4)))
    yield "more strides", malformed, zip_file(tensor_pickle((2,), (1, 1)))
    yield "100 dimensions", malformed, zip_file(tensor_pickle((1,) * 100, (1,) * 100))
    yield "expanded to exabytes", Reason.PTH_EXPANDED, zip_file(tensor_pickle((10**18,), (0,)))
    yield (
        "expanded in two",
        Reason.PTH_EXPANDED,
        zip_file(tensor_pickle((10**6, 10**6, 2), (0, 0, 1))),
    )
    yield "expanded beyond all", Reason.PTH_EXPANDED, zip_file(tensor_pickle((2**62, 8), (0, 0)))


def _pth_calls() -> Iterator[tuple[str, Reason, bytes]]:
    unsafe = Reason.UNSAFE_PICKLE
    yield (
        "os.system",
        unsafe,
        zip_file(call("posix.system", arguments=b"X\x04\x00\x00\x00true\x85")),
    )
    yield "eval", unsafe, zip_file(call("builtins.eval"))
    yield (
        "bytearray of 10 GB",
        Reason.NOT_A_TENSOR,
        zip_file(call("builtins.bytearray", arguments=number(10**10) + b"\x85")),
    )
    yield "set of what hashes for ever", Reason.NOT_A_TENSOR, zip_file(call("builtins.set"))
    yield "torch.load within", Reason.NOT_A_TENSOR, zip_file(call("torch.load"))
    yield (
        "tensor of gigabytes by name",
        Reason.NOT_A_TENSOR,
        zip_file(call("torch._utils._rebuild_qtensor")),
    )
    yield "plain pickle of code", unsafe, call("posix.system")
    yield "old pickle of code", unsafe, b"cposix\nsystem\n(S'true'\ntR."


def _pth_legacy() -> Iterator[tuple[str, Reason, bytes]]:
    malformed = Reason.PTH_MALFORMED
    yield "tar", malformed, b"pickle".ljust(257, b"\0") + b"ustar\x0000" + bytes(2000)
    magic = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}."
    keys = b"\x80\x02]X\x01\x00\x00\x000a."
    tensor = tensor_pickle().replace(b"tQ", b"NtQ")
    data = struct.pack("<q", 2) + bytes(8)
    yield "legacy cut", malformed, magic + tensor + keys + data[:-1]
    yield "legacy with more behind", malformed, magic + tensor + keys + data + b"x"
    yield "legacy without keys", malformed, magic + tensor + b"\x80\x02]." + data
    yield (
        "legacy with a key twice",
        malformed,
        magic + tensor + keys.replace(b"0a.", b"0aX\x01\x00\x00\x000a.") + data + data,
    )
    yield "legacy keys that are no text", malformed, magic + tensor + b"\x80\x02]]a." + data
    mixed = b"\x80\x02](X\x01\x00\x00\x000]e."
    yield "legacy keys of which one is no text", malformed, magic + tensor + mixed + data
    huge = tensor_pickle(count=10**15).replace(b"tQ", b"NtQ")
    yield "legacy of petabytes", malformed, magic + huge + keys + struct.pack("<q", 10**15)
    yield "legacy of another length", malformed, magic + huge + keys + data
    yield "legacy with code", Reason.UNSAFE_PICKLE, magic + call("posix.system") + keys


# -- what is no file


def fifo(path: Path) -> None:
    """Opening one waits for a writer."""
    os.mkfifo(path)


def listening(path: Path) -> None:
    """A socket's file, which stays when the socket is gone."""
    with socket.socket(socket.AF_UNIX) as one:
        # Its path may have some hundred characters at most.
        before = os.open(".", os.O_RDONLY)
        os.chdir(path.parent)
        try:
            one.bind(path.name)
        finally:
            os.fchdir(before)
            os.close(before)


def link(target: str) -> Make:
    """A link to `target`."""
    return lambda path: path.symlink_to(target)


def _contents() -> Iterator[tuple[str, Reason, Make]]:
    for suffix, files in (
        (".bin", bin_files()),
        (".npy", npy_files()),
        (".npz", npz_files()),
        (".safetensors", safetensors_files()),
        (".pth", pth_files()),
    ):
        for name, reason, content in files:
            yield f"{suffix[1:]}/{name}{suffix}", reason, _writer(content)
    for suffix in ("bin", "npy", "npz", "safetensors", "pth"):
        yield f"{suffix}/fifo.{suffix}", Reason.NOT_A_FILE, fifo
        yield f"{suffix}/socket.{suffix}", Reason.NOT_A_FILE, listening
        yield f"{suffix}/folder.{suffix}", Reason.NOT_A_FILE, Path.mkdir
        yield f"{suffix}/terminal.{suffix}", Reason.NOT_A_FILE, link("/dev/null")
        yield f"{suffix}/endless.{suffix}", Reason.NOT_A_FILE, link("/dev/zero")
        yield f"{suffix}/loop.{suffix}", Reason.FILE_UNREADABLE, link(f"loop.{suffix}")
    yield "bin/far link.bin", Reason.BIN_MALFORMED, link("/etc/passwd")


def _writer(content: bytes) -> Make:
    def write(path: Path) -> None:
        path.write_bytes(content)

    return write


CORPUS = {name: (reason, make) for name, reason, make in _contents()}


def main() -> None:
    """Make the corpus and show how each file is answered."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    cases = make_corpus(folder)
    answers = answer_all([case.path for case in cases])
    for case, answer in zip(cases, answers, strict=True):
        told = "" if answer.reason == case.reason else f"  EXPECTED {case.reason}"
        print(
            f"{answer.seconds * 1e3:8.2f} ms {answer.peak / 2**20:6.1f} MiB  "
            f"{answer.reason:22} {case.path.relative_to(folder)}{told}"
        )
    print(
        f"{len(cases)} files; slowest {max(a.seconds for a in answers) * 1e3:.1f} ms, "
        f"most memory {max(a.peak for a in answers) / 2**20:.1f} MiB"
    )


if __name__ == "__main__":
    main()
