"""Epilogues: pointwise operations behind a matrix product become part of its kernel.

For the fuser, a product is a part that stores a variable, the element, at the element's index in the result. The fuser
merges consumers into that part, and ``with_epilogue`` turns the merged part into the library kernel's epilogue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from weft.expr import Expr, const, variable, walk
from weft.expr.node import INDEX
from weft.graph.lower.lowered import KernelCall, LoweredValue
from weft.graph.rewriting.affine import Affine, affine
from weft.graph.rewriting.parts import loaded, numbered, stored
from weft.kernels import Axis, Buffer, Epilogue, Library, Part, Store
from weft.ops.matmul.products import LONG, Asked, Choice
from weft.target import TargetProfile

SIDES = ("a", "b")
"""The template's names of the operands."""
OPPOSITE = {"wide": "tall", "tall": "wide"}
"""The tile of the transposed product, where it differs."""


def product_part(call: KernelCall) -> Part | None:
    """Return the part of a product whose kernel can have an epilogue; ``None`` for any other call."""
    kernel = call.kernel
    if (
        not isinstance(kernel, Library)
        or kernel.name != "matmul"
        or len(kernel.dtypes) != 3
        or kernel.epilogue
    ):
        return None
    options = dict(kernel.options)
    if options.get("split") or len(call.arguments) != 20:
        return None
    sizes, (offset, *strides) = (
        [int(call.arguments[at]) for at in (0, 1, 2, 3)],
        map(int, call.arguments[15:]),
    )
    axes = [Axis(variable(f"p{at}", INDEX), const(size, INDEX)) for at, size in enumerate(sizes)]
    index: Expr = const(offset, INDEX)
    for axis, stride, size in zip(axes, strides, sizes, strict=True):
        if size > 1:
            index = index + axis.variable * stride
    return Part(tuple(axes), (Store(call.values[2], index, element(kernel)),))


def element(kernel: Library) -> Expr:
    """The variable that holds a product's element."""
    return variable("element", kernel.dtypes[2].compute)


def operands(call: KernelCall) -> tuple[str, ...]:
    """Return the two operands of a product."""
    return call.values[: len(SIDES)]


def asked(call: KernelCall) -> tuple[Asked, Choice] | None:
    """Return the tuning question of a product and its answer; ``None`` for any other call."""
    kernel = call.kernel
    if not isinstance(kernel, Library) or kernel.name != "matmul" or len(kernel.dtypes) != 3:
        return None
    options = dict(kernel.options)
    batch0, batch1, m, n, k = map(int, call.arguments[:5])
    left, right, made = (dtype.name for dtype in kernel.dtypes)
    found = Asked(
        batch0 * batch1, m, n, k, (left, right, made), (str(options.get("a", "")), str(options.get("b", "")))
    )
    return found, (str(options.get("tile", "")), int(call.arguments[20]) if options.get("split") else 1)


def measured(call: KernelCall, profile: TargetProfile) -> tuple[str, Choice] | None:
    """Return the tuning question and answer of a product whose kernel a measurement has decided; else ``None``."""
    found = asked(call)
    if found is None:
        return None
    straight, (tile, splits) = found
    turned = Asked(
        straight.batches,
        straight.n,
        straight.m,
        straight.k,
        (straight.types[1], straight.types[0], straight.types[2]),
        straight.fours[::-1],
    )
    for question, answer in ((straight, (tile, splits)), (turned, (OPPOSITE.get(tile, tile), splits))):
        if profile.choices.get(str(question)) == answer:
            return str(question), answer
    return None


def multiplications(call: KernelCall) -> int:
    """Return the number of multiplications of a product; 0 for any other call."""
    found = asked(call)
    return 0 if found is None else found[0].batches * found[0].m * found[0].n * found[0].k


def is_plain(call: KernelCall, part: Part) -> bool:
    """Return whether a product's part stores only the result itself."""
    (store, *others) = part.stores
    return not others and store.buffer == call.values[2] and store.value.function == "variable"


def with_epilogue(call: KernelCall, part: Part, values: dict[str, LoweredValue]) -> KernelCall:
    """Return the product's call with the merged part as its epilogue."""
    kernel = call.kernel
    assert isinstance(kernel, Library)
    if is_plain(call, part):
        return call
    sizes = [int(argument) for argument in call.arguments[:4]]
    shape = (sizes[0] * sizes[1], sizes[2], sizes[3])
    given, arguments, options = operands(call), call.arguments, kernel.options
    if _across_rows(part, sizes[2], sizes[3]):
        part, shape = _turned(part, shape)
        given, arguments, options = _transposed(call, options)
        kernel = replace(kernel, dtypes=(kernel.dtypes[1], kernel.dtypes[0], kernel.dtypes[2]))
    reads, writes = sorted(loaded(part) - stored(part)), sorted(stored(part))
    buffers = tuple(
        Buffer(name, values[name].dtype, "read_write" if name in writes else "read")
        for name in (*reads, *writes)
    )
    (part,) = numbered([part])
    wide = int(call.arguments[4]) < LONG and _in_fours(part, shape[2])
    options = (*(option for option in options if option[0] != "c"), ("c", wide))
    made = Epilogue(_named(call.ops), part, shape, element(kernel), buffers)
    names = (*given, *reads, *writes)
    written = tuple(range(len(names) - len(writes), len(names)))
    return replace(
        call, kernel=replace(kernel, options=options, epilogue=made), values=names, written=written,
        arguments=arguments,
    )  # fmt: skip


def _named(ops: Sequence[str]) -> str:
    """Return a readable name: the ops of the epilogue."""
    name = "_and_".join(dict.fromkeys(op for op in ops if op != "matmul")) or "copy"
    return name if len(name) <= 60 else "more"


def _groups(part: Part, rows: int, columns: int) -> tuple[list[Axis], list[Axis], list[Axis]]:
    """Return the axes of the batch, of the rows and of the columns."""
    axes, found = list(part.axes), []
    for size in (columns, rows):
        group: list[Axis] = []
        total = 1
        while axes and total < size:
            group.insert(0, axes.pop())
            total *= int(group[0].size.data)
        found.append(group)
    return axes, found[1], found[0]


def _across_rows(part: Part, rows: int, columns: int) -> bool:
    """Return whether most accesses are contiguous along columns, so that the transposed product coalesces them."""
    _, down, across = _groups(part, rows, columns)
    indices = [affine(store.index) for store in part.stores]
    indices += [affine(node.args[0]) for node in walk(*part.expressions) if node.function == "load"]
    last_row = {axis.variable for axis in down if int(axis.size.data) > 1}
    last_column = {axis.variable for axis in across if int(axis.size.data) > 1}
    count = 0
    for index in indices:
        count += any(index.factor(term) == 1 for term in last_row) - any(
            index.factor(term) == 1 for term in last_column
        )
    return count > 0


def _in_fours(part: Part, columns: int) -> bool:
    """Return whether all accesses that vary with the column are aligned vectors of four elements."""
    if columns % 4 or columns == 0:
        return False
    axis = next(axis for axis in reversed(part.axes) if int(axis.size.data) > 1)
    if int(axis.size.data) % 4:
        return False
    for node in part.nodes:
        if node.function == "load" and not _run(affine(node.args[0]), axis.variable, False):
            return False
    return all(_run(affine(store.index), axis.variable, True) for store in part.stores)


def _run(index: Affine, along: Expr, moves: bool) -> bool:
    """Return whether an index has stride 1 from a multiple of four, or (unless ``moves``) stride 0."""
    others = [(term, factor) for term, factor in index.terms if term is not along]
    if any(along in set(walk(term)) for term, _ in others):
        return False
    if index.factor(along) == 0:
        return not moves
    return (
        index.factor(along) == 1 and index.constant % 4 == 0 and all(factor % 4 == 0 for _, factor in others)
    )


def _turned(part: Part, shape: tuple[int, int, int]) -> tuple[Part, tuple[int, int, int]]:
    """Return the part with rows and columns exchanged."""
    batches, rows, columns = shape
    outer, down, across = _groups(part, rows, columns)
    return replace(part, axes=(*outer, *across, *down)), (batches, columns, rows)


def _transposed(
    call: KernelCall, options: tuple[tuple[str, int | str | bool], ...]
) -> tuple[tuple[str, ...], tuple[int | float, ...], tuple[tuple[str, int | str | bool], ...]]:
    """Return operands, arguments and options of the transposed product, b^T a^T."""
    batch0, batch1, m, n, k, a_offset, a_b0, a_b1, a_m, a_k, b_offset, b_b0, b_b1, b_k, b_n, *c = (
        call.arguments
    )
    first, second = operands(call)
    chosen = dict(options)
    turned = {**chosen}
    if "tile" in chosen:
        turned["tile"] = OPPOSITE.get(str(chosen["tile"]), chosen["tile"])
    if "a" in chosen:
        turned["a"], turned["b"] = chosen["b"], chosen["a"]
    arguments = (
        batch0, batch1, n, m, k, b_offset, b_b0, b_b1, b_n, b_k, a_offset, a_b0, a_b1, a_k, a_m,
        c[0], c[1], c[2], c[4], c[3],
    )  # fmt: skip
    return (second, first), arguments, tuple(turned.items())
