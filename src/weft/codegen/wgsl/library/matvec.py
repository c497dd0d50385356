"""``matvec`` for WGSL: teams of 32 invocations, each for a few rows, of which they read 16-byte words.

The matrix's rows must consist of 16-byte words: unit stride along a row; all other strides, the offsets and the length
of a row multiples of a word's elements. Each invocation has four float32 accumulators, which are summed by a fixed
tree. Option ``rows``: a team has 1, 2 or 4 rows, which share the loads of the vector.
"""

from __future__ import annotations

from dataclasses import dataclass

from weft.codegen.templates import template
from weft.codegen.wgsl import work
from weft.codegen.wgsl.library.matmul import operand_types
from weft.codegen.wgsl.module import Module
from weft.codegen.wgsl.storage import FORMATS, View
from weft.errors import KernelError
from weft.expr import const, variable
from weft.expr.node import INDEX
from weft.expr.wgsl_text import type_name
from weft.kernels import Axis
from weft.kernels.program import Library
from weft.target import KernelSpec, Parameter, TargetProfile

PARAMETERS = (
    "batch0 batch1 rows k m_offset m_b0 m_b1 m_row v_offset v_b0 v_b1 y_offset y_b0 y_b1 y_row"
).split()
TEAM = 32
"""The invocations of a team."""
TEAMS = 4
"""The teams of a workgroup."""
SUMS = {1: "f32", 2: "vec2<f32>", 4: "vec4<f32>"}
"""The type of a team's sums, by its number of rows."""
UNROLLED = 2
"""The words of each row that are loaded per iteration."""


@dataclass(frozen=True)
class Words(View):
    """A binding that is read 16 bytes at a time."""

    @property
    def element(self) -> str:
        """The type of the array's elements."""
        return "vec4<f32>" if self.dtype not in FORMATS else "vec4<u32>"

    @property
    def lanes(self) -> int:
        """The elements of a word."""
        return 128 // self.dtype.bits

    def fours(self, word: str) -> list[str]:
        """Return the word's elements as vectors of four."""
        form = FORMATS.get(self.dtype)
        return [word] if form is None else [form.unpack4.format(w=f"{word}.{half}") for half in ("xy", "zw")]


@template("wgsl", "matvec")
def matvec(library: Library, profile: TargetProfile) -> KernelSpec:
    """Return the kernel. Buffers: matrix, vector (of the same floating type of 16 or 32 bits), y."""
    matrix, vector, out = operand_types(library)
    if matrix is not vector or matrix.kind != "float" or matrix.bits not in (16, 32):
        raise KernelError(
            f"matvec: types {matrix.name} and {vector.name}, expected the same floating type of 16 or 32 bits"
        )
    views = (Words("m", matrix, False), Words("v", vector, False), View("y", out, True))
    parameters = tuple(Parameter(name, INDEX) for name in PARAMETERS)
    module = Module(f"matvec_{matrix.name}_{out.name}", profile, parameters, views, (TEAM * TEAMS, 1, 1))
    each = int(dict(library.options).get("rows", 2))
    if each not in SUMS:
        raise KernelError(f"matvec: rows is {each}, expected one of {', '.join(map(str, SUMS))}")
    module.shared("partial", SUMS[each], TEAM * TEAMS)
    p = {name: module.parameter(name) for name in PARAMETERS}
    rows, k = variable("rows", INDEX), variable("k", INDEX)
    blocks = work.groups(rows, each * TEAMS)
    sizes = [Axis(rows, size) for size in (variable("batch0", INDEX), variable("batch1", INDEX), blocks)]
    module.bound_steps(work.groups(k, TEAM * views[0].lanes) + const(UNROLLED + 8, INDEX))
    return module.finish(_body(p, views[0], views[2], module, each), work.grid(work.points(sizes)))


def _body(p: dict[str, str], words: Words, out: View, module: Module, each: int) -> list[str]:
    lanes, step = words.lanes, TEAM
    sums = ", ".join(f"(s{row}.x + s{row}.y) + (s{row}.z + s{row}.w)" for row in range(each))
    value = "sum" if type_name(out.dtype) == "f32" else f"{type_name(out.dtype)}(sum)"
    mine = f"partial[i32(local) - lane]{'[lane]' if each > 1 else ''}"
    lines = [
        "let group = i32(workgroup_id.y * workgroups.x + workgroup_id.x);",
        f"let blocks = ({p['rows']} + {each * TEAMS - 1}i) / {each * TEAMS}i;",
        "let batch = group / blocks;",
        f"if (batch >= {p['batch0']} * {p['batch1']}) {{",
        "    return;",
        "}",
        f"let b0 = batch / {p['batch1']};",
        f"let b1 = batch % {p['batch1']};",
        f"let lane = i32(local) % {TEAM}i;",
        f"let row = (group % blocks * {TEAMS}i + i32(local) / {TEAM}i) * {each}i;",
        f"let start = {p['m_offset']} + b0 * {p['m_b0']} + b1 * {p['m_b1']};",
        *(
            f"let row{i} = (start + min(row + {i}i, {p['rows']} - 1i) * {p['m_row']}) / {lanes}i;"
            for i in range(each)
        ),
        f"let other = ({p['v_offset']} + b0 * {p['v_b0']} + b1 * {p['v_b1']}) / {lanes}i;",
        f"let count = {p['k']} / {lanes}i;",
        *(f"var s{i} = vec4<f32>();" for i in range(each)),
        "var at = lane;",
        f"for (; at + {step * (UNROLLED - 1)}i < count; at += {step * UNROLLED}i) {{",
        *(f"    {line}" for line in _products(words, each, UNROLLED)),
        "}",
        f"for (; at < count; at += {step}i) {{",
        *(f"    {line}" for line in _products(words, each, 1)),
        "}",
        f"partial[local] = {SUMS[each]}({sums});",
        "workgroupBarrier();",
        f"for (var half = {TEAM // 2}i; half > 0i; half >>= 1u) {{",
        "    if (lane < half) {",
        "        partial[local] += partial[i32(local) + half];",
        "    }",
        "    workgroupBarrier();",
        "}",
        f"if (lane < {each}i && row + lane < {p['rows']}) {{",
        f"    let sum = {mine};",
        f"    let index = {p['y_offset']} + b0 * {p['y_b0']} + b1 * {p['y_b1']} + (row + lane) * {p['y_row']};",
        f"    let value = {value};",
        *(f"    {line}" for line in out.store("index", "value", module.declarations)),
        "}",
    ]
    return [f"    {line}" for line in lines]


def _products(words: Words, each: int, unrolled: int) -> list[str]:
    """Return the products of ``unrolled`` words of all rows with the vector's words, all loads first."""
    lines = []
    for number in range(unrolled):
        place = f"at + {number * TEAM}i"
        lines += [f"let m{number}_{row} = m[row{row} + {place}];" for row in range(each)]
        lines.append(f"let x{number} = v[other + {place}];")
    for number in range(unrolled):
        for half, factor in enumerate(words.fours(f"x{number}")):
            lines.append(f"let f{number}_{half} = {factor};")
            lines += [
                f"s{row} = fma({words.fours(f'm{number}_{row}')[half]}, f{number}_{half}, s{row});"
                for row in range(each)
            ]
    return lines
