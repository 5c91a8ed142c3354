"""What a torch pickle says, read without running any of it.

Python's unpickler calls what the pickle names; even `weights_only=True` calls some of it, and
a few bytes can make both take gigabytes or hours. Here the opcodes that `torch.save` writes are
carried out on plain values: a name stays a name, and the only things ever built are tuples,
lists, dicts and descriptions of tensors.
"""

from __future__ import annotations

import functools
import io
import pickle
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ait_cmp.source.header import UnsupportedError

__all__ = ["Foreign", "Pickle", "Storage", "StoredTensor", "UnsafePickleError", "read_pickles"]

# A tensor takes 40 to 50 steps, and some 300 bytes of its file.
_STEPS, _BYTES_A_STEP = 1 << 16, 5
_FRAME_LIMIT = 1 << 40  # bytes
_CACHED_LIMIT = 4096  # bytes; that of one tensor has some 150
_PLAIN = ("bytearray", "complex", "set")
# Names in these are torch's own ways to rebuild values; all others would be somebody's code.
_MODULES = {
    "collections",
    "torch",
    "torch._tensor",
    "torch._utils",
    "torch.cuda",
    "torch.nn.parameter",
    "torch.serialization",
    "torch.storage",
}
# Plain data beside tensors, of which the name is all that is kept.
_NAMES = {
    "_codecs.encode",
    *(f"{module}.{name}" for module in ("builtins", "__builtin__") for name in _PLAIN),
}
_STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "BoolStorage": "bool",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "ShortStorage": "int16",
    "IntStorage": "int32",
    "LongStorage": "int64",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "UntypedStorage": "",
}


class UnsafePickleError(Exception):
    """The pickle asks for a name that is not torch's; the message is that name."""


@dataclass(frozen=True, slots=True)
class Foreign:
    """A name in the pickle, or a value that only the code of this name could build."""

    name: str


@dataclass(frozen=True, slots=True)
class Storage:
    """Where elements lie: `count` of them, of bytes where only the tensor says their type."""

    dtype: str  # empty where the tensor says it
    key: str
    count: int


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A dense tensor within its storage: `offset` and `strides` are in elements.

    `negated` tells that the values are stored with the other sign, `conjugated` that the imaginary
    parts are.
    """

    dtype: str
    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    negated: bool
    conjugated: bool


@dataclass(frozen=True, slots=True)
class Pickle:
    """What one pickle says, the storages that it names, by key, and where it ends."""

    value: object
    storages: dict[str, Storage]
    end: int


def read_pickles(content: bytes, count: int = 1, *, within: int = 0) -> list[Pickle]:
    """What the first `count` pickles in `content`, of a file of `within` bytes, say.

    Raises UnsafePickleError, UnsupportedError for what torch.save does not write, ValueError for
    what is no pickle.
    """
    if len(content) <= _CACHED_LIMIT and count == 1:
        return [_cached(content)]
    file = io.BytesIO(content)
    return [_read(file, within) for _ in range(count)]


@functools.lru_cache(maxsize=256)  # in a dump of many tokens the same few come again and again
def _cached(content: bytes) -> Pickle:
    return _read(io.BytesIO(content))


def _read(file: io.BytesIO, within: int = 0) -> Pickle:
    machine = _Machine()
    # A byte of a pickle can ask for a hundred, so that its work is bounded by the whole file.
    value = machine.run(file, _STEPS + within // _BYTES_A_STEP)
    return Pickle(value, machine.storages, file.tell())


_MARK = object()


class _Machine:
    """The stack and the memo of one pickle."""

    def __init__(self) -> None:
        self.storages: dict[str, Storage] = {}
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self, file: io.BytesIO, steps: int) -> object:
        """Carry the pickle out, in at most so many steps."""
        try:
            for _ in range(steps):
                code = file.read(1)
                known = _BY_CODE.get(code)
                if known is None:
                    raise _refusal(code)
                read, carry_out = known
                carry_out(self, read(file) if read else None)
                if code == pickle.STOP:
                    return self.pop()
        except (LookupError, TypeError, AttributeError) as exc:
            raise ValueError("a pickle that does not hold together") from exc
        raise UnsupportedError("it holds too much beside tensors; save a dict of just the tensors")

    def push(self, value: object) -> None:
        self._stack.append(value)

    def pop(self) -> Any:
        return self._stack.pop()

    def get(self, index: int) -> None:
        self.push(self._memo[index])

    def put(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    def memoize(self, _: None) -> None:
        """As `put`, at the next number."""
        self._memo[len(self._memo)] = self._stack[-1]

    def last(self, count: int) -> tuple[Any, ...]:
        """The last `count` values, in order."""
        return tuple(reversed([self.pop() for _ in range(count)]))

    def marked(self) -> list[Any]:
        """The values since the last mark, in order."""
        values = []
        while (value := self.pop()) is not _MARK:
            values.append(value)
        return values[::-1]

    def name(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._named(module, name)

    def stacked_name(self, _: None) -> None:
        """As `name`, with both parts on the stack."""
        module, name = self.last(2)
        if type(module) is not str or type(name) is not str:
            raise ValueError("a name that is no text")
        self._named(module, name)

    def _named(self, module: str, name: str) -> None:
        full = f"{module}.{name}"
        if module not in _MODULES and full not in _NAMES:
            raise UnsafePickleError(full[:200])
        self.push(Foreign(full))

    def call(self, _: None) -> None:
        """The opcode that would call a function."""
        function, arguments = self.last(2)
        self.push(_build(function, arguments))

    def storage(self, _: None) -> None:
        tag, kind, key, _location, count, *view = self.pop()
        if tag != "storage" or type(key) is not str or type(count) is not int or any(view):
            raise ValueError("a storage that is none")
        name = kind.name.rpartition(".")[2]
        storage = Storage(_STORAGES.get(name, name), key, count)
        if count < 0 or self.storages.setdefault(key, storage) != storage:
            raise ValueError("two sizes of one storage")
        self.push(storage)

    def frozen(self, _: None) -> None:
        """A frozen set."""
        self.marked()
        self.push(Foreign("builtins.frozenset"))

    def append(self, _: None) -> None:
        value = self.pop()
        self._stack[-1].append(value)

    def extend(self, _: None) -> None:
        values = self.marked()
        self._stack[-1].extend(values)

    def items(self, values: list[Any]) -> None:
        target = self._stack[-1]
        for key, value in zip(values[::2], values[1::2], strict=True):
            # The hash of nested tuples can take for ever.
            if not isinstance(key, (str, int, float, type(None))):
                raise UnsupportedError("a dict in it has a key that is no text or number; use text")
            target[key] = value


_OPCODES: dict[str, Callable[[_Machine, Any], object]] = {
    "PROTO": lambda machine, _: None,
    "STOP": lambda machine, _: None,
    "MARK": lambda machine, _: machine.push(_MARK),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    **dict.fromkeys(
        ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"), _Machine.push
    ),
    **dict.fromkeys(("SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING"), _Machine.push),
    **dict.fromkeys(("SHORT_BINSTRING", "SHORT_BINBYTES", "BINBYTES"), _Machine.push),
    **dict.fromkeys(("BINBYTES8", "BYTEARRAY8"), _Machine.push),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), _Machine.get),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), _Machine.put),
    "MEMOIZE": _Machine.memoize,
    "FRAME": lambda machine, size: _check_frame(size),
    "POP": lambda machine, _: machine.pop(),
    "POP_MARK": lambda machine, _: machine.marked(),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE1": lambda machine, _: machine.push(machine.last(1)),
    "TUPLE2": lambda machine, _: machine.push(machine.last(2)),
    "TUPLE3": lambda machine, _: machine.push(machine.last(3)),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.marked())),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "APPEND": _Machine.append,
    "APPENDS": _Machine.extend,
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "SETITEM": lambda machine, _: machine.items(list(machine.last(2))),
    "SETITEMS": lambda machine, _: machine.items(machine.marked()),
    # Sets are of no tensors.
    "EMPTY_SET": lambda machine, _: machine.push(Foreign("builtins.set")),
    "ADDITEMS": lambda machine, _: machine.marked(),
    "FROZENSET": _Machine.frozen,
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.stacked_name,
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.call,
    "BINPERSID": _Machine.storage,
    "BUILD": lambda machine, _: machine.pop(),  # the state of an object: no part of its values
}


def _reader(opcode: pickletools.OpcodeInfo) -> Callable[[io.BytesIO], Any] | None:
    """What reads the argument of `opcode`, if it has one."""
    if opcode.name == "GLOBAL":
        return _read_name  # the library's would warn of odd escapes in it
    return opcode.arg.reader if opcode.arg else None


def _read_name(file: io.BytesIO) -> str:
    module, name = file.readline().decode("ascii"), file.readline().decode("ascii")
    return f"{module.strip()} {name.strip()}"


_BY_CODE = {
    opcode.code.encode("latin-1"): (_reader(opcode), _OPCODES[opcode.name])
    for opcode in pickletools.opcodes
    if opcode.name in _OPCODES
}


_NO_CODES = {opcode.code.encode("latin-1"): opcode.name for opcode in pickletools.opcodes}


def _refusal(code: bytes) -> Exception:
    """Of an opcode that is not carried out."""
    if code not in _NO_CODES:
        return ValueError(f"{code!r} where an opcode should be")
    return UnsupportedError(
        f"its pickle has the opcode {_NO_CODES[code]}, which torch.save does not write; save it "
        "again without a pickle_protocol"
    )


def _check_frame(size: int) -> None:
    if size > _FRAME_LIMIT:
        raise ValueError("a frame that is longer than any file")


def _build(function: Foreign, arguments: tuple[Any, ...]) -> object:
    """What calling `function` would give, where that is a dict or a plain tensor."""
    match function.name.rpartition(".")[2], arguments:
        case "OrderedDict", ():
            return {}
        case "_rebuild_tensor_v2", (Storage() as storage, offset, shape, strides, _, _, *state):
            return _tensor(function, storage, storage.dtype, offset, shape, strides, *state)
        case "_rebuild_tensor_v3", (
            (Storage() as storage, offset, shape, strides, _, _, Foreign() as dtype, *state)
        ):
            named = dtype.name.removeprefix("torch.")
            return _tensor(function, storage, named, offset, shape, strides, *state)
        case "_rebuild_parameter" | "_rebuild_parameter_with_state", (StoredTensor() as tensor, *_):
            return tensor
        case "_rebuild_from_type_v2", (Foreign() as inner, _, tuple(inside), _) if (
            inner != function
        ):
            return _build(inner, inside)
    return function


def _tensor(
    function: Foreign,
    storage: Storage,
    dtype: str,
    offset: Any,
    shape: Any,
    strides: Any,
    state: Any = None,
) -> StoredTensor | Foreign:
    state = state or {}
    # Whatever else a state says, only torch's code could carry it out.
    if any(value for key, value in state.items() if key not in ("neg", "conj")):
        return function
    numbers = (offset, *shape, *strides)
    if not all(type(one) is int and one >= 0 for one in numbers) or len(shape) != len(strides):
        raise ValueError("a tensor whose sizes and strides are none")
    negated, conjugated = bool(state.get("neg")), bool(state.get("conj"))
    return StoredTensor(dtype, storage, offset, tuple(shape), tuple(strides), negated, conjugated)
