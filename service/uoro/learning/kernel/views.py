"""Views of a stream's block, made inside of compiled code from the block's address and its spec's table.

An array that is handed to compiled code is taken apart first, under the interpreter's lock: a third of a microsecond
each, and a stream has sixty. So a call hands over addresses, and the arrays are made where they are used; they own
nothing, and nobody counts their users. A `Views` tells which arrays a named tuple holds; its words in a table say
where they lie: for each array its first byte, counted from a base, and its shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.core import cgutils
from numba.np import arrayobj
from numba.np.numpy_support import from_dtype

from uoro.learning.kernel.lanes import spoken

Place = tuple[int, tuple[int, ...], str]
"""Of an array: first byte, shape, dtype."""


class Array(NamedTuple):
    """What compiled code knows of an array beforehand."""

    num_dimensions: int
    dtype: str = "f8"


class Views:
    """The arrays of a named tuple.

    Attributes:
        num_words: that they take in a table.
        take: compiled code's `take(base, table, at)`, the tuple whose words begin at `table[at]`; base and table are
            addresses. The memory must stay alive.
    """

    def __init__(self, kind: type[tuple[Any, ...]], arrays: Mapping[str, Array]) -> None:
        self._arrays = dict(arrays)
        self.num_words = sum(1 + array.num_dimensions for array in arrays.values())
        self.take = _taking(kind, list(arrays.values()))

    def words(self, place_of: Callable[[str], Place]) -> list[int]:
        """The words of arrays that lie so."""
        words: list[int] = []
        for name, array in self._arrays.items():
            first, shape, dtype = place_of(name)
            assert (len(shape), np.dtype(dtype)) == (array.num_dimensions, np.dtype(array.dtype)), name  # noqa: S101
            words += (first, *shape)
        return words


def arrays_of(shapes: Mapping[str, tuple[tuple[int, ...], str]]) -> dict[str, Array]:
    """What is known of arrays whose shapes are such, whatever the lengths."""
    return {name: Array(len(shape), dtype) for name, (shape, dtype) in shapes.items()}


def _taking(kind: type[tuple[Any, ...]], arrays: list[Array]) -> Callable[..., Any]:
    fields = [types.Array(from_dtype(np.dtype(its.dtype)), its.num_dimensions, "C") for its in arrays]
    made = types.BaseTuple.from_types(fields, kind)

    @spoken
    def take(_typing: Any, base: Any, table: Any, at: Any) -> Any:
        def code(context: Any, builder: Any, _sig: Any, arguments: Any) -> Any:
            start, table_start, first = arguments
            words = builder.inttoptr(table_start, cgutils.intp_t.as_pointer())
            place = 0

            def following() -> Any:
                nonlocal place
                place += 1
                return builder.load(builder.gep(words, [builder.add(first, cgutils.intp_t(place - 1))]))

            views = [_view(context, builder, field, builder.add(start, following()), following) for field in fields]
            return context.make_tuple(builder, made, views)

        return made(types.uintp, types.uintp, types.intp), code

    return take


@spoken
def word(_typing: Any, table: Any, at: Any) -> Any:
    """A word of the table at an address."""

    def code(_context: Any, builder: Any, _sig: Any, arguments: Any) -> Any:
        words = builder.inttoptr(arguments[0], cgutils.intp_t.as_pointer())
        return builder.load(builder.gep(words, [arguments[1]]))

    return types.int64(types.uintp, types.intp), code


def _view(context: Any, builder: Any, field: Any, start: Any, following: Callable[[], Any]) -> Any:
    """The array that begins at an address; its shape is in the words that follow."""
    element = context.get_data_type(field.dtype)
    itemsize = cgutils.intp_t(context.get_abi_sizeof(element))
    shape = [following() for _ in range(field.ndim)]
    strides = [itemsize]
    for length in reversed(shape[1:]):
        strides.insert(0, builder.mul(strides[0], length))
    view = arrayobj.make_array(field)(context, builder)
    arrayobj.populate_array(
        view, builder.inttoptr(start, element.as_pointer()), shape, strides, itemsize, meminfo=None
    )  # fmt: skip
    return view._getvalue()  # noqa: SLF001 - numba's way to finish a structure
