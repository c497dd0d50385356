"""``conv2d`` and its two gradients for WGSL: matrix products whose operands are read from the image in place.

For each group: the output is weight × patches, the input's gradient is weightᵀ × (output gradient where a patch
covers the pixel), the weight's gradient is output gradient × patchesᵀ. No patch matrix is ever stored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from weft.codegen.wgsl.module import Module
from weft.codegen.wgsl.storage import View
from weft.codegen.wgsl.tiles import Product, Side, choose_tile, write_product
from weft.errors import KernelError
from weft.expr import Expr, call, variable
from weft.expr.node import INDEX
from weft.expr.wgsl import type_name
from weft.kernels.library import template
from weft.kernels.library.wgsl_matmul import accumulator, operand_types
from weft.kernels.program import Library
from weft.target import KernelSpec, Parameter, TargetProfile

PARAMETERS = (
    "n c h w o kh kw oh ow stride_h stride_w pad_h pad_w dilation_h dilation_w groups x_offset w_offset y_offset"
).split()


@dataclass(frozen=True)
class Form:
    """One kind of convolution as a product: its buffers (last one written), counts and snippets.

    Snippets are WGSL with ``$name`` for parameters, ``$cg`` and ``$og`` for channels of a group, and ``a[…]``,
    ``b[…]`` for elements at ``index``.
    """

    buffers: tuple[str, str, str]
    a: str
    b: str
    rows: Callable[[dict[str, Expr]], Expr]
    columns: Callable[[dict[str, Expr]], Expr]
    depth: Callable[[dict[str, Expr]], Expr]
    a_outer: str
    a_depth: str
    b_outer: str
    b_depth: str
    b_value: str
    store: str


# A patch element: the image at the sum of a position's corner and a tap's offset, zero in the padding.
_PATCH = """let y = outer.y + depth.y;
let x = outer.z + depth.z;
if (y < 0i || y >= $h || x < 0i || x >= $w) {
    return zero;
}
let index = outer.x + depth.x + y * $w + x;
return element;"""

# The output position whose patch has this pixel at this tap, if the stride leads to one.
_COVERING = """let y = outer.y - depth.y;
let x = outer.z - depth.z;
let oy = y / $stride_h;
let ox = x / $stride_w;
if (y < 0i || x < 0i || oy * $stride_h != y || ox * $stride_w != x || oy >= $oh || ox >= $ow) {
    return zero;
}
let index = outer.x + depth.x + oy * $ow + ox;
return element;"""

_TAPS = """let s = {0} % $kw;
let r = {0} / $kw % $kh;
let channel = {0} / ($kw * $kh);
"""
_PLACES = """let ox = {0} % $ow;
let oy = {0} / $ow % $oh;
let image = {0} / ($ow * $oh);
"""
_CORNER = "oy * $stride_h - $pad_h, ox * $stride_w - $pad_w"
_TAP = "r * $dilation_h, s * $dilation_w"

FORMS: dict[str, Form] = {
    "forward": Form(
        ("x", "w", "y"), "w", "x",
        rows=lambda p: p["og"],
        columns=lambda p: p["n"] * p["oh"] * p["ow"],
        depth=lambda p: p["cg"] * p["kh"] * p["kw"],
        a_outer="return vec4<i32>($w_offset + (batch * $og + index) * $cg * $kh * $kw, 0i, 0i, 0i);",
        a_depth="return vec4<i32>(depth, 0i, 0i, 0i);",
        b_outer=_PLACES.format("index")
        + f"return vec4<i32>($x_offset + (image * $c + batch * $cg) * $h * $w, {_CORNER}, 0i);",
        b_depth=_TAPS.format("depth") + f"return vec4<i32>(channel * $h * $w, {_TAP}, 0i);",
        b_value=_PATCH,
        store="""let image = column / ($oh * $ow);
let index = $y_offset + (image * $o + batch * $og + row) * $oh * $ow + column % ($oh * $ow);""",
    ),
    "input": Form(
        ("y", "w", "x"), "w", "y",
        rows=lambda p: p["cg"],
        columns=lambda p: p["n"] * p["h"] * p["w"],
        depth=lambda p: p["og"] * p["kh"] * p["kw"],
        a_outer="return vec4<i32>($w_offset + (batch * $og * $cg + index) * $kh * $kw, 0i, 0i, 0i);",
        a_depth="""let taps = $kh * $kw;
return vec4<i32>(depth / taps * $cg * taps + depth % taps, 0i, 0i, 0i);""",
        b_outer="""let ix = index % $w;
let iy = index / $w % $h;
let image = index / ($w * $h);
return vec4<i32>($y_offset + (image * $o + batch * $og) * $oh * $ow, iy + $pad_h, ix + $pad_w, 0i);""",
        b_depth=_TAPS.format("depth") + f"return vec4<i32>(channel * $oh * $ow, {_TAP}, 0i);",
        b_value=_COVERING,
        store="""let image = column / ($h * $w);
let index = $x_offset + (image * $c + batch * $cg + row) * $h * $w + column % ($h * $w);""",
    ),
    "weight": Form(
        ("y", "x", "w"), "y", "x",
        rows=lambda p: p["og"],
        columns=lambda p: p["cg"] * p["kh"] * p["kw"],
        depth=lambda p: p["n"] * p["oh"] * p["ow"],
        a_outer="return vec4<i32>($y_offset + (batch * $og + index) * $oh * $ow, 0i, 0i, 0i);",
        a_depth="""let places = $oh * $ow;
return vec4<i32>(depth / places * $o * places + depth % places, 0i, 0i, 0i);""",
        b_outer=_TAPS.format("index")
        + f"return vec4<i32>($x_offset + (batch * $cg + channel) * $h * $w, {_TAP}, 0i);",
        b_depth=_PLACES.format("depth") + f"return vec4<i32>(image * $c * $h * $w, {_CORNER}, 0i);",
        b_value=_PATCH,
        store="let index = $w_offset + (batch * $og + row) * $cg * $kh * $kw + column;",
    ),
}  # fmt: skip


@template("wgsl", "conv2d")
def conv2d(library: Library, profile: TargetProfile) -> KernelSpec:
    """The convolution of option ``kind``; ``library.dtypes`` are the types of its buffers in order."""
    options = dict(library.options)
    form = FORMS.get(str(options.get("kind")))
    if form is None:
        raise KernelError(f"conv2d: kind is {options.get('kind')!r}, expected one of {', '.join(FORMS)}")
    types = operand_types(library)
    views = {
        name: View(f"{name}_data", dtype, name == form.buffers[2])
        for name, dtype in zip(form.buffers, types, strict=True)
    }
    tile = choose_tile(profile, options)
    parameters = tuple(Parameter(name, INDEX) for name in PARAMETERS)
    module = Module(
        f"conv2d_{options['kind']}_{types[0].name}", profile, parameters, tuple(views.values()),
        (tile.invocations, 1, 1),
    )  # fmt: skip
    product, texts = _product(module, form, views, accumulator(library, *types))
    return write_product(module, product, tile, texts)


def _product(
    module: Module, form: Form, views: dict[str, View], scalar: str
) -> tuple[Product, dict[Expr, str]]:
    """The form's product with all names filled in, and the WGSL of its counts."""
    p = {name: variable(name, INDEX) for name in PARAMETERS}
    p["cg"], p["og"] = call("idiv", p["c"], p["groups"]), call("idiv", p["o"], p["groups"])
    texts = {name: module.parameter(name) for name in PARAMETERS}
    texts |= {"cg": f"({texts['c']} / {texts['groups']})", "og": f"({texts['o']} / {texts['groups']})"}

    def filled(text: str) -> str:
        for name in sorted(texts, key=len, reverse=True):
            text = text.replace(f"${name}", texts[name])
        return text

    def element(view: View) -> str:
        text = view.load("index")
        return text if type_name(view.dtype) == scalar else f"{scalar}({text})"

    a, b, out = views[form.a], views[form.b], views[form.buffers[2]]
    value = "value" if type_name(out.dtype) == scalar else f"{type_name(out.dtype)}(value)"
    product = Product(
        p["groups"], form.rows(p), form.columns(p), form.depth(p),
        a=Side(
            filled(form.a_outer), filled(form.a_depth), f"let index = outer.x + depth.x;\nreturn {element(a)};", "true"
        ),
        b=Side(
            filled(form.b_outer), filled(form.b_depth),
            filled(form.b_value.replace("zero", f"{scalar}()").replace("element", element(b))), "false",
        ),
        store="\n".join([filled(form.store), *out.store("index", value, module.declarations)]),
        scalar=scalar,
    )  # fmt: skip
    counts = (product.batches, product.rows, product.columns, product.depth)
    return product, {count: _infix(count, texts) for count in counts}


def _infix(node: Expr, texts: dict[str, str]) -> str:
    """A count over the parameters in WGSL."""
    if node.function == "variable":
        return texts[node.data]
    sign = {"mul": "*", "idiv": "/"}[node.function]
    return f"({f' {sign} '.join(_infix(arg, texts) for arg in node.args)})"
