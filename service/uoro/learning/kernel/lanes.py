"""Eight float32 side by side: vector instructions said outright.

Strict arithmetic forbids the compiler to reorder a sum, so that it cannot use the vector units for one. Here the order
is part of the text: eight partial sums, added at the end in the order of `total`. The bits are the same on every
machine; a processor with other widths gets the same operations in pieces.

    here = address(array)         of a contiguous float32 array, which must stay alive
    v = load(here, at)            array[at : at + 8], `at` an unsigned index; nothing looks whether it lies within
    store(here, at, v)
    v = spread(here, at)          eight times array[at]
    v = splat(x)                  eight times x, a float32
    v + w, v - w, v * w, v / w, sqrt(v), total(v)

Addresses instead of arrays, since numba counts the users of an array wherever it is passed on, inside of loops too.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

N = 8
"""Lanes. Rows that are gone through with them are padded to such a multiple."""

_FLOAT = ir.FloatType()
_VECTOR = ir.VectorType(_FLOAT, N)


class Lanes(types.Type):
    """The type of eight float32 side by side."""

    def __init__(self) -> None:
        super().__init__(name="Lanes")


lanes = Lanes()


@register_model(Lanes)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)


def padded(num: int) -> int:
    """The least multiple of N that is not below num."""
    return -(-num // N) * N


def spoken(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of compiled code whose code is given as LLVM's own."""
    return cast("Callable[..., Any]", intrinsic(function))


def _add_operator(of_python: Callable[[Any, Any], Any], of_llvm: str) -> None:
    @infer_global(of_python)
    class _Typed(ConcreteTemplate):
        cases = [signature(lanes, lanes, lanes)]  # noqa: RUF012 - numba's way to say it

    @lower_builtin(of_python, Lanes, Lanes)  # type: ignore[untyped-decorator]
    def _lowered(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return getattr(builder, of_llvm)(*arguments)


for _python, _llvm in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _add_operator(_python, _llvm)


def _place(builder: Any, here: Any, at: Any, kind: Any) -> Any:
    """Pointer to a `kind` that begins at the float `at` behind the address `here`."""
    start = builder.inttoptr(here, _FLOAT.as_pointer())
    return builder.bitcast(builder.gep(start, [at]), kind.as_pointer())


@spoken
def address(_typing: Any, array: Any) -> Any:
    """Where an array's first element lies."""

    def code(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        start = context.make_array(sig.args[0])(context, builder, arguments[0]).data
        return builder.ptrtoint(start, context.get_value_type(types.uintp))

    return types.uintp(array), code


@spoken
def load(_typing: Any, here: Any, at: Any) -> Any:
    """The eight from `at`."""

    def code(_context: Any, builder: Any, _sig: Any, arguments: Any) -> Any:
        return builder.load(_place(builder, arguments[0], arguments[1], _VECTOR), align=4)

    return lanes(types.uintp, types.uintp), code


@spoken
def store(_typing: Any, here: Any, at: Any, values: Any) -> Any:
    """The eight from `at` become values."""

    def code(context: Any, builder: Any, _sig: Any, arguments: Any) -> Any:
        builder.store(arguments[2], _place(builder, arguments[0], arguments[1], _VECTOR), align=4)
        return context.get_dummy_value()

    return types.void(types.uintp, types.uintp, lanes), code


@spoken
def spread(_typing: Any, here: Any, at: Any) -> Any:
    """Eight times the one at `at`."""

    def code(_context: Any, builder: Any, _sig: Any, arguments: Any) -> Any:
        return _repeated(builder, builder.load(_place(builder, arguments[0], arguments[1], _FLOAT)))

    return lanes(types.uintp, types.uintp), code


def _repeated(builder: Any, value: Any) -> Any:
    first = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, cgutils.int32_t(0))
    return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(cgutils.int32_t, N), [0] * N))


@spoken
def splat(_typing: Any, x: Any) -> Any:
    """Eight times x."""

    def code(_context: Any, builder: Any, _sig: Any, arguments: Any) -> Any:
        return _repeated(builder, arguments[0])

    return lanes(types.float32), code


@spoken
def sqrt(_typing: Any, values: Any) -> Any:
    """The square roots."""

    def code(_context: Any, builder: Any, _sig: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(_VECTOR, [_VECTOR])
        root = cgutils.get_or_insert_function(builder.module, kind, f"llvm.sqrt.v{N}f32")
        return builder.call(root, arguments)

    return lanes(lanes), code


@spoken
def total(_typing: Any, values: Any) -> Any:
    """((v0 + v4) + (v2 + v6)) + ((v1 + v5) + (v3 + v7))."""

    def code(_context: Any, builder: Any, _sig: Any, arguments: Any) -> Any:
        (vector,) = arguments
        width = N
        while width > 1:
            width //= 2
            halves = [
                builder.shuffle_vector(
                    vector,
                    vector,
                    ir.Constant(ir.VectorType(cgutils.int32_t, width), list(range(start, start + width))),
                )
                for start in (0, width)
            ]
            vector = builder.fadd(*halves)
        return builder.extract_element(vector, cgutils.int32_t(0))

    return types.float32(lanes), code
