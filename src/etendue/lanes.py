"""Short vectors inside kernels, for loops that the compiler does not turn into vectors by itself.

It does not where running values ought to stay in registers over many rows, where a row is no multiple of
its unrolled step (25 samples), and where values are turned from rows to columns. `Lanes` are 256 bits of
equal numbers, such as 16 of int16 or 8 of float32. Kernels take them from contiguous arrays with `load`,
compute with ``+ - * & | < > >=`` lane by lane, and put them back with `store`. They are LLVM's vectors, so
that they compile on every processor, in halves where its registers are shorter.

Nothing looks whether lanes lie within an array. To do all of an array of `MOST_LANES` elements or more, take
``start = min(block, size - n)`` for blocks of n: the last then overlaps the one before.
"""

from __future__ import annotations

import operator
from collections.abc import Callable

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, overload, register_model

BITS = 256

#: Lanes of the narrowest numbers in use, those of 16 bits.
MOST_LANES = BITS // 16

_I32 = ir.IntType(32)


class Lanes(types.Type):
    """Numba's type of ``count`` numbers of one dtype, or of as many truths."""

    def __init__(self, dtype: types.Type, count: int) -> None:
        self.dtype, self.count = dtype, count
        super().__init__(name=f"lanes({dtype}, {count})")

    @staticmethod
    def of(dtype: types.Type) -> Lanes:
        """As many numbers as the bits hold."""
        return Lanes(dtype, BITS // dtype.bitwidth)


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: object, lanes: Lanes) -> None:
        super().__init__(manager, lanes, _vector(lanes.dtype, lanes.count))


def _vector(dtype: types.Type, count: int) -> ir.VectorType:
    if dtype == types.boolean:
        element = ir.IntType(1)
    elif isinstance(dtype, types.Float):
        element = ir.FloatType() if dtype.bitwidth == 32 else ir.DoubleType()
    else:
        element = ir.IntType(dtype.bitwidth)
    return ir.VectorType(element, count)


def _converted(builder: ir.IRBuilder, lanes: ir.Value, source: types.Type, to: types.Type) -> ir.Value:
    vector = _vector(to, lanes.type.count)
    if source == to:
        return lanes
    if isinstance(source, types.Float):
        return (builder.fptosi if to.signed else builder.fptoui)(lanes, vector)
    if isinstance(to, types.Float):
        return (builder.sitofp if source.signed else builder.uitofp)(lanes, vector)
    if to.bitwidth > source.bitwidth:
        return (builder.sext if source.signed else builder.zext)(lanes, vector)
    return builder.trunc(lanes, vector) if to.bitwidth < source.bitwidth else lanes


def _place(context, builder, array_type, array, index, pointee: ir.Type) -> ir.Value:
    """Pointer to an element of a contiguous array, as to something that starts there."""
    if array_type.ndim != 1 or array_type.layout != "C":
        raise TypeError(f"lanes come from contiguous arrays of one dimension, not from {array_type}")
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), pointee.as_pointer())


def _call(builder: ir.IRBuilder, name: str, result: ir.Type, *arguments: ir.Value) -> ir.Value:
    function = ir.FunctionType(result, [a.type for a in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, function, name), arguments)


@intrinsic
def load(typing, array, start, dtype):
    """``array[start], array[start + 1], ...`` as lanes of a dtype: ``load(array, start, np.int16)``.

    Integers lose the bits that do not fit.
    """
    result = Lanes.of(dtype.dtype)

    def generate(context, builder, signature, arguments):
        source = signature.args[0]
        vector = _vector(source.dtype, result.count)
        place = _place(context, builder, source, *arguments[:2], vector)
        lanes = builder.load(place, align=source.dtype.bitwidth // 8)
        return _converted(builder, lanes, source.dtype, result.dtype)

    return result(array, types.intp, dtype), generate


@intrinsic
def store(typing, lanes, array, start):
    """Put lanes into an array from a place on, converted to its dtype."""

    def generate(context, builder, signature, arguments):
        target = signature.args[1]
        converted = _converted(builder, arguments[0], lanes.dtype, target.dtype)
        place = _place(context, builder, target, *arguments[1:], converted.type)
        builder.store(converted, place, align=target.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.none(lanes, array, types.intp), generate


@intrinsic
def fill(typing, value, dtype):
    """The same number in all lanes."""
    result = Lanes.of(dtype.dtype)

    def generate(context, builder, signature, arguments):
        number = context.cast(builder, arguments[0], signature.args[0], result.dtype)
        vector = _vector(result.dtype, result.count)
        undefined, zeros = ir.Constant(vector, ir.Undefined), ir.VectorType(_I32, result.count)
        first = builder.insert_element(undefined, number, _I32(0))
        return builder.shuffle_vector(first, undefined, ir.Constant(zeros, None))

    return result(value, dtype), generate


@intrinsic
def convert(typing, lanes, dtype):
    """As many lanes of another dtype; floats lose their fraction."""
    result = Lanes(dtype.dtype, lanes.count)

    def generate(context, builder, signature, arguments):
        return _converted(builder, arguments[0], lanes.dtype, result.dtype)

    return result(lanes, dtype), generate


@intrinsic
def where(typing, truths, lanes, others):
    """Lanes where the truth is true, else the others."""

    def generate(context, builder, signature, arguments):
        return builder.select(*arguments)

    return lanes(truths, lanes, others), generate


@intrinsic
def within(typing, lanes, ends):
    """Where 0 <= lane < end; no end is negative."""

    def generate(context, builder, signature, arguments):
        start, end = ir.Constant(arguments[0].type, None), arguments[1]
        if isinstance(lanes.dtype, types.Float):
            from_start = builder.fcmp_ordered(">=", arguments[0], start)
            return builder.and_(from_start, builder.fcmp_ordered("<", arguments[0], end))
        return builder.icmp_unsigned("<", arguments[0], end)  # negative integers are large without their sign

    return Lanes(types.boolean, lanes.count)(lanes, ends), generate


@intrinsic
def largest(typing, lanes):
    """The largest of integer lanes."""

    def generate(context, builder, signature, arguments):
        (vector,) = arguments
        name = f"llvm.vector.reduce.smax.v{lanes.count}i{lanes.dtype.bitwidth}"
        return _call(builder, name, vector.type.element, vector)

    return lanes.dtype(lanes), generate


@intrinsic
def count(typing, truths):
    """How many truths are true."""

    def generate(context, builder, signature, arguments):
        bits = builder.bitcast(arguments[0], ir.IntType(truths.count))
        return builder.zext(builder.ctpop(bits), ir.IntType(64))

    return types.int64(truths), generate


@intrinsic
def transpose(typing, rows):
    """As many columns as there are rows, of a tuple of as many lanes each.

    In each of log2(n) steps, the blocks off the diagonal of squares change places.
    """

    def generate(context, builder, signature, arguments):
        n = len(rows)
        square = cgutils.unpack_tuple(builder, arguments[0], n)

        def pick(one: ir.Value, other: ir.Value, lanes: list[int]) -> ir.Value:
            return builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(_I32, n), lanes))

        half = n // 2
        while half:
            for i in range(n):
                if not i & half:
                    upper, lower = square[i], square[i + half]
                    square[i] = pick(upper, lower, [n + k - half if k & half else k for k in range(n)])
                    square[i + half] = pick(upper, lower, [n + k if k & half else k + half for k in range(n)])
            half //= 2
        return context.make_tuple(builder, signature.return_type, square)

    return rows(rows), generate


@intrinsic
def prefetch(typing, array, start):
    """Ask for the cache line with an element that is to be read later; goes on without waiting."""

    def generate(context, builder, signature, arguments):
        byte = ir.IntType(8).as_pointer()
        place = _place(context, builder, signature.args[0], *arguments, byte.pointee)
        read, level_2, data = _I32(0), _I32(2), _I32(1)
        _call(builder, "llvm.prefetch.p0i8", ir.VoidType(), place, read, level_2, data)
        return context.get_dummy_value()

    return types.none(array, types.intp), generate


def _register(symbol: Callable, emit: Callable, *, compares: bool = False) -> None:
    """Let an operator of Python work on two lanes of the same type."""

    @intrinsic
    def apply(typing, x, y):
        result = Lanes(types.boolean, x.count) if compares else x

        def generate(context, builder, signature, arguments):
            return emit(builder, x.dtype)(*arguments)

        return result(x, y), generate

    @overload(symbol, inline="never")
    def typed(x, y):
        if isinstance(x, Lanes) and x == y:
            return lambda x, y: apply(x, y)
        return None


def _arithmetic(name: str) -> Callable:
    return lambda builder, dtype: getattr(builder, "f" * isinstance(dtype, types.Float) + name)


def _comparison(sign: str) -> Callable:
    def emit(builder: ir.IRBuilder, dtype: types.Type) -> Callable:
        if isinstance(dtype, types.Float):
            return lambda x, y: builder.fcmp_ordered(sign, x, y)
        return lambda x, y: (builder.icmp_signed if dtype.signed else builder.icmp_unsigned)(sign, x, y)

    return emit


for _name in ("add", "sub", "mul"):
    _register(getattr(operator, _name), _arithmetic(_name))
    _register(getattr(operator, f"i{_name}"), _arithmetic(_name))
_register(operator.and_, lambda builder, dtype: builder.and_)
_register(operator.or_, lambda builder, dtype: builder.or_)
for _name, _sign in (("lt", "<"), ("gt", ">"), ("ge", ">=")):
    _register(getattr(operator, _name), _comparison(_sign), compares=True)
