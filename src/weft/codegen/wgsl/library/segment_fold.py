"""``segment_fold`` for WGSL: a fold of rows by key in two stages, over keys in sorted order.

``stage="chunks"`` folds the rows of a key inside a chunk of ``CHUNK`` sorted positions; ``stage="segments"`` folds the
results of a key's chunks into its first row. The order of operations depends on the keys alone.
"""

from __future__ import annotations

from weft import dtypes
from weft.codegen.templates import template
from weft.codegen.wgsl import work
from weft.codegen.wgsl.module import Module
from weft.codegen.wgsl.storage import View
from weft.expr import call, const, variable
from weft.expr.node import INDEX
from weft.expr.wgsl_text import type_name
from weft.kernels.program import Library
from weft.target import KernelSpec, Parameter, TargetProfile

INVOCATIONS = 256
CHUNK = 256
"""The positions that an invocation folds; a key with n positions takes CHUNK + n / CHUNK steps."""

_FOLDS = {
    "sum": "total = total + value;",
    "prod": "total = total * value;",
    "max": "total = select(value, total, total > value{nan});",
    "min": "total = select(value, total, total < value{nan});",
}
_NAN = " || (bitcast<u32>(total) & 0x7fffffffu) > 0x7f800000u"
"""A test of the bits for NaN: drivers may assume that no number is NaN."""


@template("wgsl", "segment_fold")
def segment_fold(library: Library, profile: TargetProfile) -> KernelSpec:
    """Return the kernel that folds the rows of ``parts`` by key; ``table[key]`` becomes 1 + its result's position."""
    options, dtype = dict(library.options), library.dtypes[0]
    stage, fold = str(options["stage"]), _FOLDS[str(options["combine"])]
    fold = fold.format(nan=_NAN if dtype.kind == "float" else "")
    sorted_keys = View("keys", dtypes.int64, False)
    order, parts = View("order", dtypes.int64, False), View("parts", dtype, False)
    sums, table = View("sums", dtype, True), View("places", dtypes.int64, True)
    views = (sorted_keys, order, parts, sums, table) if stage == "chunks" else (sorted_keys, sums)
    parameters = (Parameter("n", INDEX), Parameter("width", INDEX))
    name = f"segment_{stage}_{options['combine']}_{dtype.name}"
    module = Module(name, profile, parameters, views, (INVOCATIONS, 1, 1))
    n, width = module.parameter("n"), module.parameter("width")
    head = f"""\
    let item = i32((workgroup_id.y * workgroups.x + workgroup_id.x) * {INVOCATIONS}u + local);
    if (item >= {n} * {width}) {{
        return;
    }}
    let i = item / {width};
    let column = item - i * {width};
    let key = keys[i];
    var starts = i == 0i;
    if (!starts) {{
        starts = keys[i - 1i] != key;
    }}"""
    body = _CHUNKS if stage == "chunks" else _SEGMENTS
    text = body.format(n=n, width=width, fold=fold, chunk=CHUNK, kind=type_name(dtype))
    count = variable("n", INDEX)
    steps = const(CHUNK, INDEX) if stage == "chunks" else call("idiv", count, CHUNK) + 1
    module.bound_steps(steps)
    return module.finish([head, text], work.grid(work.groups(count * variable("width", INDEX), INVOCATIONS)))


_CHUNKS = """\
    if (starts && column == 0i) {{
        places[key] = i + 1i;
    }}
    if (!starts && i % {chunk}i != 0i) {{
        return;
    }}
    var total: {kind} = parts[order[i] * {width} + column];
    for (var j = i + 1i; j < {n} && j % {chunk}i != 0i; j++) {{
        if (keys[j] != key) {{
            break;
        }}
        let value = parts[order[j] * {width} + column];
        {fold}
    }}
    sums[item] = total;"""

_SEGMENTS = """\
    if (!starts) {{
        return;
    }}
    var total: {kind} = sums[item];
    for (var j = (i / {chunk}i + 1i) * {chunk}i; j < {n}; j += {chunk}i) {{
        if (keys[j] != key) {{
            break;
        }}
        let value = sums[j * {width} + column];
        {fold}
    }}
    sums[item] = total;"""
