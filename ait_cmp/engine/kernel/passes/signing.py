"""Lines of a fingerprint, sixteen channels at a time, and what becomes of their sums.

Written as vectors, so that an element is loaded once for all sums that it is in, and what is added
up of a line stays in registers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ait_cmp.engine.kernel.internals import cgutils, intrinsic, ir, types

__all__ = [
    "BUCKETS",
    "FACTS",
    "FLIP",
    "GROUP",
    "HELD",
    "MASK",
    "ROWS",
    "SHIFT",
    "TABLE",
    "TURN",
    "add_four",
    "add_one",
    "add_orders",
    "add_products",
    "add_turns",
]

BUCKETS = 16  # and lanes of a vector
GROUP = 2 * BUCKETS  # channels that share a part of their bucket
ROWS = 4  # lines that are added at once: two pairs of lines of one bucket each
# What is told of a line: the row of `held` and of the masks that it has, where its table begins
# in `turned`, its part of the bucket as one that is kept, its sign, and the bit that is its own.
HELD, MASK, TABLE, TURN, FLIP, SHIFT, FACTS = range(7)

_FLOAT, _DOUBLE, _WORD, _LONG = ir.FloatType(), ir.DoubleType(), ir.IntType(32), ir.IntType(64)
_FLOATS, _WORDS = ir.VectorType(_FLOAT, BUCKETS), ir.VectorType(_WORD, BUCKETS)
_DOUBLES, _LONGS = ir.VectorType(_DOUBLE, BUCKETS), ir.VectorType(_LONG, BUCKETS // 2)
_SIGN = 1 << 31
_LOOSE = ("contract", "nsz")


def _intrinsic(define: Callable[..., Any]) -> Callable[..., Any]:
    made: Callable[..., Any] = intrinsic(define)
    return made


class _Code:
    """Code in the making: what its intrinsic is given, by place."""

    def __init__(self, context: Any, builder: Any, signature: Any, values: Any) -> None:
        self.builder, self.values = builder, values
        self._arrays = {
            number: context.make_array(kind)(context, builder, values[number])
            for number, kind in enumerate(signature.args)
            if isinstance(kind, types.Array)
        }
        self._has_halves = [
            isinstance(kind, types.Array) and kind.dtype == types.uint16 for kind in signature.args
        ]

    def place(self, array: int, index: Any, kind: Any) -> Any:
        """Where `kind` is in an array, from its element at this flat index on."""
        pointer = self.builder.gep(self._arrays[array].data, [index])
        return self.builder.bitcast(pointer, kind.as_pointer())

    def load(self, array: int, index: Any, kind: Any) -> Any:
        """What is there; arrays may begin anywhere."""
        return self.builder.load(self.place(array, index, kind), align=1)

    def elements(self, array: int, index: Any) -> Any:
        """Sixteen of float32; of bfloat16 where the array is of 16-bit words, the upper halves."""
        if not self._has_halves[array]:
            return self.load(array, index, _FLOATS)
        halves = self.load(array, index, ir.VectorType(ir.IntType(16), BUCKETS))
        words = self.builder.shl(self.builder.zext(halves, _WORDS), _WORDS([16] * BUCKETS))
        return self.builder.bitcast(words, _FLOATS)

    def store(self, value: Any, array: int, index: Any) -> None:
        """Put it there."""
        self.builder.store(value, self.place(array, index, value.type), align=4)

    def width(self, array: int) -> Any:
        """The length of its rows."""
        return self.builder.extract_value(self._arrays[array].shape, 1)

    def splat(self, word: Any) -> Any:
        """It in every lane."""
        some = self.builder.insert_element(ir.Constant(_WORDS, ir.Undefined), word, _WORD(0))
        return self.builder.shuffle_vector(some, some, ir.Constant(_WORDS, [0] * BUCKETS))

    def variable(self, value: Any) -> Any:
        """A register that begins with it."""
        return cgutils.alloca_once_value(self.builder, value)

    def update(self, variable: Any, both: Callable[[Any, Any], Any], value: Any) -> None:
        """What it holds, and a value, are one."""
        self.builder.store(both(self.builder.load(variable), value), variable)

    def folded(self, vector: Any, both: Callable[[Any, Any], Any]) -> Any:
        """One number of all lanes."""
        lanes = vector.type.count
        while lanes > 1:
            lanes //= 2
            halves = (
                self.builder.shuffle_vector(vector, vector, _places(range(first, first + lanes)))
                for first in (0, lanes)
            )
            vector = both(*halves)
        return self.builder.extract_element(vector, _WORD(0))

    def add(self, one: Any, two: Any) -> Any:
        """The sum, which may be fused with a product."""
        return self.builder.fadd(one, two, flags=_LOOSE)

    def add_square(self, total: Any, x: Any) -> Any:
        """The sum with the square of x: in one step, where the processor has it."""
        kind = ir.FunctionType(_FLOATS, [_FLOATS] * 3)
        fused = cgutils.get_or_insert_function(
            self.builder.module, kind, f"llvm.fmuladd.v{BUCKETS}f32"
        )
        return self.builder.call(fused, [x, x, total])

    def limit(self, how: str, signed: bool) -> Callable[[Any, Any], Any]:
        """The lesser ("<") or the larger (">") of two whole numbers."""
        compare = self.builder.icmp_signed if signed else self.builder.icmp_unsigned
        return lambda one, two: self.builder.select(compare(how, one, two), one, two)


def _places(order: Sequence[int]) -> Any:
    return ir.Constant(ir.VectorType(_WORD, len(order)), list(order))


class _Line:
    """A line in the making: what is told of it, and what it adds up."""

    def __init__(self, code: _Code, row: int) -> None:
        def fact(which: int) -> Any:
            return code.load(_FACTS, _LONG(row * FACTS + which), _LONG)

        b = code.builder
        self.x = row
        self.held = b.add(b.mul(fact(HELD), code.width(_HELD)), code.values[_COLUMN])
        self.mask = b.mul(fact(MASK), code.width(_MASKS))
        self.table, self.turn = fact(TABLE), fact(TURN)
        self.flip, self.shift = (code.splat(b.trunc(fact(which), _WORD)) for which in (FLIP, SHIFT))
        self.total, self.squares = (code.variable(_FLOATS([0.0] * BUCKETS)) for _ in range(2))
        self.most = code.variable(_WORDS([_SIGN] * BUCKETS))
        self.top = code.variable(_WORDS([0] * BUCKETS))


# The arguments of a line adder, behind its lines.
_FACTS, _CHANNELS, _TURNS, _HELD, _MASKS, _TURNED, _ENDS, _SUMS, _COLUMN, _GROUPS = range(4, 14)


def _line_adder(rows: int) -> Callable[..., Any]:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        code = _Code(context, builder, signature, values)
        lines = [_Line(code, row) for row in range(rows)]
        end = _LONG(2 * ROWS)
        least = code.variable(code.splat(code.load(_ENDS, end, _WORD)))
        with cgutils.for_range(builder, values[_GROUPS]) as loop:
            _group(code, lines, least, builder.mul(loop.index, _LONG(GROUP)))
        low = code.folded(builder.load(least), code.limit("<", signed=False))
        code.store(low, _ENDS, end)
        for row, line in enumerate(lines):
            for which, (found, both) in enumerate(
                ((line.most, code.limit(">", signed=True)), (line.top, code.limit(">", False)))
            ):
                code.store(code.folded(builder.load(found), both), _ENDS, _LONG(2 * row + which))
            for which, total in enumerate((line.total, line.squares)):
                code.store(
                    code.folded(builder.load(total), code.add), _SUMS, _LONG(2 * row + which)
                )
        return context.get_dummy_value()

    @_intrinsic
    def add(
        typing_context: Any, a: Any, b: Any, c: Any, d: Any, facts: Any, channels: Any, turns: Any,
        held: Any, masks: Any, turned: Any, ends: Any, sums: Any, column: Any, groups: Any,
    ) -> Any:  # fmt: skip
        """Add groups of 32 channels, from `column` on, of so many lines (`a`, … begin there): to
        the sums of channels (`held`) and to those of lines by order (`turned`); made are Σx and Σx²
        of each line (`sums`), the largest of its bits as signed and unsigned numbers (`ends`, at
        the end of which the least unsigned one of all goes on)."""
        del typing_context, column, groups
        arrays = a, b, c, d, facts, channels, turns, held, masks, turned, ends, sums
        return types.void(*arrays, types.intp, types.intp), generate

    return add


def _group(code: _Code, lines: list[_Line], least: Any, first: Any) -> None:
    """Both vectors of a group, which begins so many channels after the first one."""
    b = code.builder
    at = b.add(first, code.values[_COLUMN])
    some = [_vector(code, lines, least, (b.add(first, n), b.add(at, n))) for n in _BOTH]
    turn = code.load(_TURNS, b.udiv(at, _LONG(GROUP)), _LONG)
    for line, one, two in zip(lines, *some, strict=True):
        both = b.bitcast(b.fadd(one, two), _WORDS)
        both = b.bitcast(b.xor(both, line.flip), _FLOATS)
        order = b.mul(b.xor(turn, line.turn), _LONG(BUCKETS))
        place = code.place(_TURNED, b.add(line.table, order), _FLOATS)
        b.store(b.fadd(b.load(place, align=4), both), place, align=4)


_BOTH = _LONG(0), _LONG(BUCKETS)


def _vector(code: _Code, lines: list[_Line], least: Any, places: tuple[Any, Any]) -> list[Any]:
    """Sixteen channels of each line; themselves with the signs that they have as summed ones."""
    b, (first, at) = code.builder, places
    signs = code.load(_CHANNELS, at, _WORDS)
    width = code.width(_HELD)
    plain = [b.add(b.mul(_LONG(BUCKETS + n), width), at) for n in range(2)]
    total, squares = (code.load(_HELD, one, _FLOATS) for one in plain)
    signed: list[Any] = []
    pattern = b.and_(at, _LONG(63))
    for number, line in enumerate(lines):
        x = code.elements(line.x, first)
        bits = b.bitcast(x, _WORDS)
        total, squares = code.add(total, x), code.add_square(squares, x)
        code.update(line.total, code.add, x)
        code.update(line.squares, code.add_square, x)
        for found, limit in (
            (line.most, code.limit(">", signed=True)),
            (line.top, code.limit(">", signed=False)),
            (least, code.limit("<", signed=False)),
        ):
            code.update(found, limit, bits)
        held = b.add(line.held, first)
        if number % 2 == 0:
            sum_ = code.load(_HELD, held, _FLOATS)
        mask = code.load(_MASKS, b.add(line.mask, pattern), _WORDS)
        sum_ = b.fadd(sum_, b.bitcast(b.xor(bits, mask), _FLOATS))
        if number % 2 or number + 1 == len(lines):
            code.store(sum_, _HELD, held)
        turned = b.and_(b.shl(signs, line.shift), _WORDS([_SIGN] * BUCKETS))
        signed.append(b.bitcast(b.xor(bits, turned), _FLOATS))
    for value, place in zip((total, squares), plain, strict=True):
        code.store(value, _HELD, place)
    return signed


add_one, add_four = _line_adder(1), _line_adder(ROWS)


def _orders(code: _Code, into: int, row: Any, load: Callable[[int], Any]) -> None:
    """Add to the buckets of a bin what each order has: lane i is of bucket i ^ order."""
    b = code.builder
    place = code.place(into, b.mul(row, code.width(into)), _DOUBLES)
    total = b.load(place, align=8)
    for order in range(BUCKETS):
        some = load(order)
        some = b.shuffle_vector(some, some, _places([lane ^ order for lane in range(BUCKETS)]))
        total = b.fadd(total, b.fpext(some, _DOUBLES))
    b.store(total, place, align=8)


@_intrinsic
def add_orders(typing_context: Any, turned: Any, table: Any, into: Any, row: Any) -> Any:
    """Add the sums by order of a line's bin to its buckets, and begin anew."""
    del typing_context, table, row

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        code = _Code(context, builder, signature, values)

        def load(order: int) -> Any:
            at = builder.add(values[1], _LONG(order * BUCKETS))
            found = code.load(0, at, _FLOATS)
            code.store(_FLOATS([0.0] * BUCKETS), 0, at)
            return found

        _orders(code, 2, values[3], load)
        return context.get_dummy_value()

    return types.void(turned, types.intp, into, types.intp), generate


@_intrinsic
def add_turns(
    typing_context: Any, held: Any, column: Any, turn: Any, signs: Any, into: Any, row: Any
) -> Any:
    """Add the signed sums of sixteen channels to the buckets of their bin, each times its sign, 0
    where it is of another bin; `turn` is the part of the bucket that they share."""
    del typing_context, column, turn, row

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        code = _Code(context, builder, signature, values)
        own = code.load(3, _LONG(0), _FLOATS)

        def load(order: int) -> Any:
            which = builder.xor(values[2], _LONG(order))
            at = builder.add(builder.mul(which, code.width(0)), values[1])
            return builder.fmul(code.load(0, at, _FLOATS), own)

        _orders(code, 4, values[5], load)
        return context.get_dummy_value()

    places = types.intp, types.intp
    return types.void(held, *places, signs, into, types.intp), generate


@_intrinsic
def add_products(typing_context: Any, words: Any, keys: Any, at: Any, half: Any) -> Any:
    """The sum of the products of words in both halves of a block that begins at a word, with a key
    added to each."""
    del typing_context, at, half

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        code, b = _Code(context, builder, signature, values), builder
        total = code.variable(_LONGS([0] * (BUCKETS // 2)))
        with cgutils.for_range(b, b.udiv(values[3], _LONG(BUCKETS))) as loop:
            one = b.mul(loop.index, _LONG(BUCKETS))
            pair = [
                b.bitcast(
                    b.add(code.load(0, b.add(values[2], n), _WORDS), code.load(1, n, _WORDS)),
                    _LONGS,
                )
                for n in (one, b.add(one, values[3]))
            ]
            half = _LONGS([32] * (BUCKETS // 2))
            for low in (True, False):
                factors = (b.ashr(b.shl(n, half) if low else n, half) for n in pair)
                code.update(total, b.add, b.mul(*factors))
        return code.folded(b.load(total), b.add)

    return types.int64(words, keys, types.intp, types.intp), generate
