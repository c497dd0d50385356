"""``radix`` for WGSL: a stable radix sort of rows of u32 keys with their positions; a pass sorts by four bits.

A pass takes three kernels: ``stage="count"`` counts the digits of each block, ``"scan"`` turns the counts of a row into
start offsets (an exclusive scan), and ``"scatter"`` moves keys and positions there, in order. The result is
deterministic.
"""

from __future__ import annotations

from weft import dtypes
from weft.codegen.templates import template
from weft.codegen.wgsl import work
from weft.codegen.wgsl.module import Module
from weft.codegen.wgsl.storage import View
from weft.expr import Expr, call, const, variable
from weft.expr.node import INDEX
from weft.kernels.library.radix import DIGITS, block, share, threads
from weft.kernels.program import Library
from weft.target import KernelSpec, Parameter, TargetProfile

PARAMETERS = ("rows", "n", "blocks", "shift")
SCANNERS = 256


def _module(name: str, profile: TargetProfile, views: tuple[View, ...], size: int) -> Module:
    return Module(name, profile, tuple(Parameter(p, INDEX) for p in PARAMETERS), views, (size, 1, 1))


def _numbers(module: Module) -> dict[str, str]:
    return {name: module.parameter(name) for name in PARAMETERS}


_BLOCK = """\
    let group = i32(workgroup_id.y * workgroups.x + workgroup_id.x);
    let row = group / {blocks};
    let block = group - row * {blocks};
    let first = block * {size}i + i32(local) * {share}i;
    let real = row < {rows};"""


def _blocks() -> Expr:
    return variable("rows", INDEX) * variable("blocks", INDEX)


def _count(profile: TargetProfile) -> KernelSpec:
    """Return the kernel of ``counts[row, digit, block]``, the histogram of the keys' digit at ``shift``."""
    keys, counts = View("keys", dtypes.uint32, False), View("counts", dtypes.uint32, True)
    module = _module("radix_count", profile, (keys, counts), threads(profile))
    hist = module.shared("hist", "atomic<u32>", DIGITS)
    p = _numbers(module)
    body = [
        _BLOCK.format(**p, size=block(profile), share=share(profile)),
        f"""\
    if (local < {DIGITS}u) {{
        atomicStore(&{hist}[local], 0u);
    }}
    workgroupBarrier();
    if (real) {{
        for (var k = first; k < min(first + {share(profile)}i, {p["n"]}); k++) {{
            atomicAdd(&{hist}[(keys[row * {p["n"]} + k] >> u32({p["shift"]})) & {DIGITS - 1}u], 1u);
        }}
    }}
    workgroupBarrier();
    if (real && local < {DIGITS}u) {{
        counts[(row * {DIGITS}i + i32(local)) * {p["blocks"]} + block] = atomicLoad(&{hist}[local]);
    }}""",
    ]
    return module.finish(body, work.grid(_blocks()))


def _scan(profile: TargetProfile) -> KernelSpec:
    """Return the kernel that replaces each row's counts, ordered by digit and block, by their exclusive sums."""
    size = 32 if profile.software else SCANNERS
    module = _module("radix_scan", profile, (View("counts", dtypes.uint32, True),), size)
    sums = module.shared("sums", "u32", size)
    p = _numbers(module)
    module.bound_steps(call("idiv", variable("blocks", INDEX) * (2 * DIGITS), size) + 2 * size)
    body = f"""\
    let row = i32(workgroup_id.y * workgroups.x + workgroup_id.x);
    let length = {DIGITS}i * {p["blocks"]};
    let each = (length + {size - 1}i) / {size}i;
    let start = min(i32(local) * each, length);
    let stop = min(start + each, length);
    let base = row * length;
    let real = row < {p["rows"]};
    var total = 0u;
    if (real) {{
        for (var k = start; k < stop; k++) {{
            total += counts[base + k];
        }}
    }}
    {sums}[local] = total;
    workgroupBarrier();
    var before = 0u;
    for (var t = 0u; t < local; t++) {{
        before += {sums}[t];
    }}
    if (real) {{
        for (var k = start; k < stop; k++) {{
            let own = counts[base + k];
            counts[base + k] = before;
            before += own;
        }}
    }}"""
    return module.finish([body], work.grid(variable("rows", INDEX)))


def _scatter(profile: TargetProfile) -> KernelSpec:
    """Return the kernel that moves keys and positions in the order of their digit at ``shift``, stably."""
    views = (
        View("keys", dtypes.uint32, False), View("places", dtypes.int64, False), View("counts", dtypes.uint32, False),
        View("keys_out", dtypes.uint32, True), View("places_out", dtypes.int64, True),
    )  # fmt: skip
    size, each = threads(profile), share(profile)
    module = _module("radix_scatter", profile, views, size)
    hist, sums = module.shared("hist", "u32", DIGITS * size), module.shared("sums", "u32", size)
    p = _numbers(module)
    module.bound_steps(const(2 * DIGITS * 4 + 2 * each + size, INDEX))
    digit = f"((keys[row * {p['n']} + k] >> u32({p['shift']})) & {DIGITS - 1}u)"
    body = [
        _BLOCK.format(**p, size=block(profile), share=each),
        f"""\
    let stop = min(first + {each}i, {p["n"]});
    for (var d = 0u; d < {DIGITS}u; d++) {{
        {hist}[d * {size}u + local] = 0u;
    }}
    if (real) {{
        for (var k = first; k < stop; k++) {{
            {hist}[{digit} * {size}u + local] += 1u;
        }}
    }}
    workgroupBarrier();
    // the counts of a digit, one an invocation of the block, become sums before it: 16 at a time
    let begin = local * {DIGITS}u;
    var total = 0u;
    for (var k = 0u; k < {DIGITS}u; k++) {{
        total += {hist}[begin + k];
    }}
    {sums}[local] = total;
    workgroupBarrier();
    var before = 0u;
    for (var t = local / {size // DIGITS}u * {size // DIGITS}u; t < local; t++) {{
        before += {sums}[t];
    }}
    for (var k = 0u; k < {DIGITS}u; k++) {{
        let own = {hist}[begin + k];
        {hist}[begin + k] = before;
        before += own;
    }}
    workgroupBarrier();
    if (real) {{
        for (var k = first; k < stop; k++) {{
            let d = {digit};
            let place = counts[(row * {DIGITS}i + i32(d)) * {p["blocks"]} + block] + {hist}[d * {size}u + local];
            {hist}[d * {size}u + local] += 1u;
            keys_out[row * {p["n"]} + i32(place)] = keys[row * {p["n"]} + k];
            places_out[row * {p["n"]} + i32(place)] = places[row * {p["n"]} + k];
        }}
    }}""",
    ]
    return module.finish(body, work.grid(_blocks()))


_STAGES = {"count": _count, "scan": _scan, "scatter": _scatter}


@template("wgsl", "radix")
def radix(library: Library, profile: TargetProfile) -> KernelSpec:
    """Return the kernel of a stage. Buffers: keys, counts · counts · keys, places, counts, keys_out, places_out."""
    return _STAGES[str(dict(library.options)["stage"])](profile)
