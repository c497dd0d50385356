"""``conv2d`` and its two gradients for WGSL: implicit matrix products, whose operands are read from the image in place.

For each group: the output is weight × patches, the input's gradient is weightᵀ × (output gradient where a patch
covers the pixel), the weight's gradient is output gradient × patchesᵀ. The patch matrix is not stored.

Options besides ``kind``, chosen by the lowering: ``tile``; ``a`` (``"depth"`` where the left operand can be read in
aligned groups of four along the depth: not for ``"input"``); ``split`` (split-k), which adds the parameters
``splits chunk piece``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from weft.codegen.templates import template
from weft.codegen.wgsl.library.matmul import accumulator, operand_types
from weft.codegen.wgsl.module import Module
from weft.codegen.wgsl.storage import View
from weft.codegen.wgsl.tile_sizes import choose_tile
from weft.codegen.wgsl.tiles import Product, Side, write_product
from weft.errors import KernelError
from weft.expr import Expr, call, variable
from weft.expr.node import INDEX
from weft.expr.wgsl_text import type_name
from weft.kernels.program import Library
from weft.target import KernelSpec, Parameter, TargetProfile

PARAMETERS = (
    "n c h w o kh kw oh ow stride_h stride_w pad_h pad_w dilation_h dilation_w groups x_offset w_offset y_offset"
).split()
SPLIT_PARAMETERS = ("splits", "chunk", "piece")


@dataclass(frozen=True)
class Form:
    """A kind of convolution as a product: its buffers (the last is the output), sizes and WGSL snippets.

    In snippets ``$name`` is a parameter, ``$cg`` and ``$og`` the channels of a group, and ``element`` the operand's
    element at ``index``.
    """

    buffers: tuple[str, str, str]
    a: str
    b: str
    rows: Callable[[dict[str, Expr]], Expr]
    columns: Callable[[dict[str, Expr]], Expr]
    depth: Callable[[dict[str, Expr]], Expr]
    fastest: tuple[str, str]  # the sizes of the fastest and the middle index of depth
    a_outer: str
    a_depth: str
    b_outer: str
    b_depth: str
    b_value: str
    store: str
    helpers: str = ""


# A patch element: the image at the sum of a position's corner and a tap's offset; zero in the padding.
_PATCH = """let y = outer.y + depth.y;
let x = outer.z + depth.z;
if (y < 0i || y >= $h || x < 0i || x >= $w) {
    return zero;
}
let index = outer.x + depth.x + y * $w + x;
return element;"""

# The output position whose patch has this pixel at this tap. The pixel and the tap's offset are each divided by the
# stride (the two remainders are packed in a number): the tap reads the pixel where the remainders are equal.
_COVERING = """let oy = outer.y - depth.y;
let ox = outer.z - depth.z;
if (outer.w != depth.w || oy < 0i || oy >= $oh || ox < 0i || ox >= $ow) {
    return zero;
}
let index = outer.x + depth.x + oy * $ow + ox;
return element;"""
_BY_STRIDE = """let y = by_stride({}, $stride_h);
let x = by_stride({}, $stride_w);
"""
_DIVIDED = """fn by_stride(value: i32, stride: i32) -> vec2<i32> {
    // in floating point, as this runs for every tap; exact for values below 2^24 after the correction
    var quotient = i32(f32(value) / f32(stride));
    quotient -= i32(quotient * stride > value);
    quotient += i32((quotient + 1i) * stride <= value);
    return vec2<i32>(quotient, value - quotient * stride);
}"""

_CORNER = "at.y * $stride_h - $pad_h, at.x * $stride_w - $pad_w"
_TAP = "at.y * $dilation_h, at.x * $dilation_w"


def _split(inner: str, middle: str) -> str:
    """Return WGSL that splits the outer ``index`` into ``at``: its fastest, middle and slowest index."""
    return f"let at = vec3<i32>(index % {inner}, index / {inner} % {middle}, index / ({inner} * {middle}));\n"


FORMS: dict[str, Form] = {
    "forward": Form(
        ("x", "w", "y"), "w", "x",
        rows=lambda p: p["og"],
        columns=lambda p: p["n"] * p["oh"] * p["ow"],
        depth=lambda p: p["cg"] * p["kh"] * p["kw"],
        fastest=("kw", "kh"),
        a_outer="return vec4<i32>($w_offset + (batch * $og + index) * $cg * $kh * $kw, 0i, 0i, 0i);",
        a_depth="return vec4<i32>(at.w, 0i, 0i, 0i);",
        b_outer=_split("$ow", "$oh")
        + f"return vec4<i32>($x_offset + (at.z * $c + batch * $cg) * $h * $w, {_CORNER}, 0i);",
        b_depth=f"return vec4<i32>(at.z * $h * $w, {_TAP}, 0i);",
        b_value=_PATCH,
        store="""let image = column / ($oh * $ow);
let index = $y_offset + (image * $o + batch * $og + row) * $oh * $ow + column % ($oh * $ow);""",
    ),
    "input": Form(
        ("y", "w", "x"), "w", "y",
        rows=lambda p: p["cg"],
        columns=lambda p: p["n"] * p["h"] * p["w"],
        depth=lambda p: p["og"] * p["kh"] * p["kw"],
        fastest=("kw", "kh"),
        a_outer="return vec4<i32>($w_offset + (batch * $og * $cg + index) * $kh * $kw, 0i, 0i, 0i);",
        a_depth="return vec4<i32>(at.z * $cg * $kh * $kw + at.y * $kw + at.x, 0i, 0i, 0i);",
        b_outer=_split("$w", "$h")
        + _BY_STRIDE.format("at.y + $pad_h", "at.x + $pad_w")
        + "let start = $y_offset + (at.z * $o + batch * $og) * $oh * $ow;\n"
        + "return vec4<i32>(start, y.x, x.x, y.y * 65536i + x.y);",
        b_depth=_BY_STRIDE.format("at.y * $dilation_h", "at.x * $dilation_w")
        + "return vec4<i32>(at.z * $oh * $ow, y.x, x.x, y.y * 65536i + x.y);",
        b_value=_COVERING,
        store="""let image = column / ($h * $w);
let index = $x_offset + (image * $c + batch * $cg + row) * $h * $w + column % ($h * $w);""",
        helpers=_DIVIDED,
    ),
    "weight": Form(
        ("y", "x", "w"), "y", "x",
        rows=lambda p: p["og"],
        columns=lambda p: p["cg"] * p["kh"] * p["kw"],
        depth=lambda p: p["n"] * p["oh"] * p["ow"],
        fastest=("ow", "oh"),
        a_outer="return vec4<i32>($y_offset + (batch * $og + index) * $oh * $ow, 0i, 0i, 0i);",
        a_depth="return vec4<i32>(at.z * $o * $oh * $ow + at.y * $ow + at.x, 0i, 0i, 0i);",
        b_outer=_split("$kw", "$kh")
        + f"return vec4<i32>($x_offset + (batch * $cg + at.z) * $h * $w, {_TAP}, 0i);",
        b_depth=f"return vec4<i32>(at.z * $c * $h * $w, {_CORNER}, 0i);",
        b_value=_PATCH,
        store="let index = $w_offset + (batch * $og + row) * $cg * $kh * $kw + column;",
    ),
}  # fmt: skip


@template("wgsl", "conv2d")
def conv2d(library: Library, profile: TargetProfile) -> KernelSpec:
    """Return the kernel of option ``kind``; ``library.dtypes`` are the types of its buffers in order."""
    options = dict(library.options)
    form = FORMS.get(str(options.get("kind")))
    if form is None:
        raise KernelError(f"conv2d: kind is {options.get('kind')!r}, expected one of {', '.join(FORMS)}")
    types = operand_types(library)
    tile = choose_tile(profile, options)
    fours = str(options.get("a", "")) if tile.depth else ""
    split = bool(options.get("split"))
    views = {
        name: View(f"{name}_data", dtype, name == form.buffers[2], 4 if fours and name == form.a else 1)
        for name, dtype in zip(form.buffers, types, strict=True)
    }
    names = (*PARAMETERS, *(SPLIT_PARAMETERS if split else ()))
    parameters = tuple(Parameter(name, INDEX) for name in names)
    module = Module(
        f"conv2d_{options['kind']}_{types[0].name}", profile, parameters, tuple(views.values()),
        (tile.invocations, 1, 1),
    )  # fmt: skip
    product, texts = _product(module, form, views, accumulator(library, *types), fours, split)
    return write_product(module, product, tile, texts)


def _product(
    module: Module, form: Form, views: dict[str, View], scalar: str, fours: str, split: bool
) -> tuple[Product, dict[Expr, str]]:
    """Return the form's product with all names filled in, and the WGSL of its sizes."""
    p = {parameter.name: variable(parameter.name, INDEX) for parameter in module.parameters}
    p["cg"], p["og"] = call("idiv", p["c"], p["groups"]), call("idiv", p["o"], p["groups"])
    texts = {name: module.parameter(name) for name in p if name not in ("cg", "og")}
    texts |= {"cg": f"({texts['c']} / {texts['groups']})", "og": f"({texts['o']} / {texts['groups']})"}

    def filled(text: str) -> str:
        for name in sorted(texts, key=len, reverse=True):
            text = text.replace(f"${name}", texts[name])
        return text

    def element(view: View) -> str:
        text, kind = (
            (view.load4("index"), f"vec4<{scalar}>") if view.vector == 4 else (view.load("index"), scalar)
        )
        return text if type_name(view.dtype) == scalar else f"{kind}({text})"

    if form.helpers:
        module.functions.append(form.helpers)
    a, b, out = views[form.a], views[form.b], views[form.buffers[2]]
    value = "value" if type_name(out.dtype) == scalar else f"{type_name(out.dtype)}(value)"
    start = f"${form.buffers[2]}_offset"
    store = form.store.replace(start, f"{start} + split * $piece") if split else form.store
    product = Product(
        p["groups"], form.rows(p), form.columns(p), form.depth(p),
        a=Side(
            filled(form.a_outer), filled(form.a_depth), f"let index = outer.x + depth.x;\nreturn {element(a)};", "true",
            fours,
        ),
        b=Side(
            filled(form.b_outer), filled(form.b_depth),
            filled(form.b_value.replace("zero", f"{scalar}()").replace("element", element(b))), "false",
        ),
        store="\n".join([filled(store), *out.store("index", value, module.declarations)]),
        scalar=scalar,
        inner=texts[form.fastest[0]],
        middle=texts[form.fastest[1]],
        splits=p["splits"] if split else None,
        chunk=p["chunk"] if split else None,
    )  # fmt: skip
    counts = [product.batches, product.rows, product.columns, product.depth]
    counts += [p[name] for name in SPLIT_PARAMETERS[:2] if split]
    return product, {count: _infix(count, texts) for count in counts}


def _infix(node: Expr, texts: dict[str, str]) -> str:
    """Return the WGSL of a size over the parameters."""
    if node.function == "variable":
        return texts[node.data]
    sign = {"mul": "*", "idiv": "/"}[node.function]
    return f"({f' {sign} '.join(_infix(arg, texts) for arg in node.args)})"
