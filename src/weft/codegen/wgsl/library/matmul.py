"""``matmul`` for WGSL: the tiled product over operands of any strides and two batch dimensions.

Options, chosen by the lowering: ``tile``; ``a`` and ``b``, the direction in which an operand can be read in aligned
groups of four (``"depth"``, ``"outer"``, or none); ``c``, whether all stores can be in groups of four along the
columns; ``split`` (split-k), which adds the parameters ``splits chunk c_split``. An epilogue computes its own indices,
so the parameters of c are unused with it.
"""

from __future__ import annotations

from weft.codegen.templates import template
from weft.codegen.wgsl import epilogues
from weft.codegen.wgsl.module import Module
from weft.codegen.wgsl.storage import View
from weft.codegen.wgsl.tile_sizes import choose_tile
from weft.codegen.wgsl.tiles import Product, Side, write_product
from weft.dtypes import DType
from weft.errors import KernelError
from weft.expr import Expr, variable
from weft.expr.node import INDEX
from weft.expr.wgsl_text import type_name
from weft.kernels.program import Library
from weft.target import KernelSpec, Parameter, TargetProfile

PARAMETERS = (
    "batch0 batch1 m n k a_offset a_b0 a_b1 a_m a_k b_offset b_b0 b_b1 b_k b_n c_offset c_b0 c_b1 c_m c_n"
).split()

SPLIT_PARAMETERS = ("splits", "chunk", "c_split")


@template("wgsl", "matmul")
def matmul(library: Library, profile: TargetProfile) -> KernelSpec:
    """Return the kernel for the types (a, b, c) of ``library.dtypes``; 16-bit floats accumulate in float32."""
    a, b, c = operand_types(library)
    options = dict(library.options)
    tile = choose_tile(profile, options)
    fours = {name: str(options.get(name, "")) if tile.depth else "" for name in "ab"}
    operands = tuple(
        View(name, dtype, False, 4 if fours[name] else 1) for name, dtype in (("a", a), ("b", b))
    )
    wide = bool(options.get("c"))
    result = (View("c", c, True, 4 if wide else 1),)
    views = (*operands, *(epilogues.views(library.epilogue, wide) if library.epilogue else result))
    scalar = accumulator(library, a, b, c)
    split = bool(options.get("split"))
    if split and library.epilogue:
        raise KernelError(
            "matmul: split and an epilogue were given, expected one of them: split needs a later sum"
        )
    names = (*PARAMETERS, *(SPLIT_PARAMETERS if split else ()))
    parameters = tuple(Parameter(name, INDEX) for name in names)
    module = Module(
        f"matmul_{a.name}_{b.name}_{c.name}{f'_and_{library.epilogue.name}' if library.epilogue else ''}",
        profile, parameters, views, (tile.invocations, 1, 1),
    )  # fmt: skip
    p = {name: module.parameter(name) for name in names}
    batches, m, n, k = (variable(name, INDEX) for name in ("batch0", "m", "n", "k"))
    batches = batches * variable("batch1", INDEX)
    texts: dict[Expr, str] = {
        batches: f"({p['batch0']} * {p['batch1']})", m: p["m"], n: p["n"], k: p["k"]
    }  # fmt: skip
    pieces = [variable(name, INDEX) for name in SPLIT_PARAMETERS[:2]] if split else [None, None]
    texts |= {piece: p[piece.data] for piece in pieces if piece is not None}
    epilogue = library.epilogue
    product = Product(
        batches, m, n, k,
        a=_strided(views[0], p, "a_m", "a_k", scalar, fours["a"]),
        b=_strided(views[1], p, "b_n", "b_k", scalar, fours["b"]),
        store=epilogues.body(epilogue, module, wide) if epilogue else _store(views[2], p, scalar, split, module),
        scalar=scalar,
        wide=wide,
        splits=pieces[0],
        chunk=pieces[1],
        weight=epilogues.weight(epilogue) if epilogue else 1,
    )  # fmt: skip
    return write_product(module, product, tile, texts)


def _store(c: View, p: dict[str, str], scalar: str, split: bool, module: Module) -> str:
    start = f"{p['c_offset']} + split * {p['c_split']}" if split else p["c_offset"]
    if c.vector == 4:
        column, store = (
            "column",
            [f"{c.all4('index', _converted('value', scalar, c.dtype, 4), module.declarations)};"],
        )
    else:
        column = f"column * {p['c_n']}"
        store = c.store("index", _converted("value", scalar, c.dtype), module.declarations)
    lines = [
        f"let b0 = batch / {p['batch1']};",
        f"let b1 = batch % {p['batch1']};",
        f"let index = {start} + b0 * {p['c_b0']} + b1 * {p['c_b1']} + row * {p['c_m']} + {column};",
        *store,
    ]
    return "\n".join(lines)


def operand_types(library: Library) -> tuple[DType, DType, DType]:
    """Return the types of the kernel's three buffers; a single given type is for all three.

    Raises:
        KernelError: For another number of types.
    """
    if len(library.dtypes) not in (1, 3):
        raise KernelError(f"{library.name}: {len(library.dtypes)} types were given, expected 3, or 1 for all")
    a, b, c = library.dtypes * (3 // len(library.dtypes))
    return a, b, c


def accumulator(library: Library, *given: DType) -> str:
    """Return the WGSL type of the accumulator: f32 where a type is floating, else i32 or u32."""
    types = [type_name(dtype) for dtype in given]
    if "bool" in types:
        raise KernelError(
            f"{library.name}: types {', '.join(dtype.name for dtype in given)}, expected no bool"
        )
    return next(name for name in ("f32", "i32", "u32") if name in types)


def _converted(text: str, source: str, target: DType, width: int = 1) -> str:
    return text if type_name(target) == source else f"{type_name(target, width)}({text})"


def _strided(view: View, p: dict[str, str], outer: str, depth: str, scalar: str, fours: str) -> Side:
    """Return the side of an operand with the index offset + batch + row (or column) + depth, each by its stride."""
    name = view.name
    value = view.load4("index") if fours else view.load("index")
    if type_name(view.dtype) != scalar:
        value = f"vec4<{scalar}>({value})" if fours else f"{scalar}({value})"
    return Side(
        outer=(
            f"let b0 = batch / {p['batch1']};\n"
            f"let b1 = batch % {p['batch1']};\n"
            f"let at = {p[f'{name}_offset']} + b0 * {p[f'{name}_b0']} + b1 * {p[f'{name}_b1']} + index * {p[outer]};\n"
            "return vec4<i32>(at, 0i, 0i, 0i);"
        ),
        depth=f"return vec4<i32>(at.w * {p[depth]}, 0i, 0i, 0i);",
        value=f"let index = outer.x + depth.x;\nreturn {value};",
        along_depth=f"{p[depth]} == 1i",
        vector=fours,
    )
