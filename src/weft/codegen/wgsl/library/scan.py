"""``scan`` for WGSL. ``form="serial"``: an invocation scans a row. ``form="blocks"``: a workgroup scans a block of it.

Long rows take three kernels: the totals of their blocks (``stage="totals"``), a scan of the totals, and a scan of each
block that starts from the total before it (``stage="carry"``). A row of a single block takes one kernel
(``stage="whole"``). The order of operations depends on the row's length alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from weft.codegen.templates import template
from weft.codegen.wgsl import work
from weft.codegen.wgsl.module import Module
from weft.codegen.wgsl.storage import View
from weft.expr import Expr, cast, const, variable
from weft.expr.node import INDEX
from weft.expr.wgsl import Emitter, WgslValue
from weft.expr.wgsl_text import bare, literal, type_name
from weft.kernels.library.scans import SCANS, SHARE, Scan, accumulator, invocations, parameters
from weft.kernels.program import Library
from weft.target import KernelSpec, Parameter, TargetProfile


class _Writer:
    """A kernel's buffers, and the WGSL of its lifts, joins, loads and stores; a state is a struct of numbers."""

    def __init__(self, library: Library, profile: TargetProfile) -> None:
        options = dict(library.options)
        self.kind, self.layout, self.stage = (str(options[key]) for key in ("scan", "form", "stage"))
        self.form: Scan = SCANS[self.kind]
        self.of_states = bool(options["states"])
        """Whether the inputs are states of runs instead of elements."""
        states = range(len(self.form.lift))
        inputs = len(states) if self.of_states else self.form.inputs
        outputs = tuple(states) if self.of_states or self.stage == "totals" else self.form.outputs
        self.outputs: Sequence[int] = outputs
        carried = len(states) if self.stage == "carry" else 0
        self.inputs = [f"x{at}" for at in range(inputs)]
        self.carries = [f"c{at}" for at in range(carried)]
        self.targets = [f"y{at}" for at in range(len(outputs))]
        self.names = [*self.inputs, *self.carries, *self.targets]
        self.views = {
            name: View(name, dtype, name.startswith("y"))
            for name, dtype in zip(self.names, library.dtypes, strict=True)
        }
        self.value = accumulator(self.kind, library.dtypes[0], wide=False)
        self.types = self.form.types(self.value)
        size = invocations(profile, self.layout)
        self.size = size
        title = "_".join([self.kind, self.layout, self.stage, *(d.name for d in library.dtypes)])
        extra = () if self.layout == "serial" else ("blocks",)
        self.module = Module(
            title, profile, tuple(Parameter(name, INDEX) for name in (*parameters(self.names), *extra)),
            tuple(self.views.values()), (size, 1, 1),
        )  # fmt: skip
        self.p = {
            parameter.name: self.module.parameter(parameter.name) for parameter in self.module.parameters
        }

    def emitted(
        self, roots: Sequence[Expr], names: Callable[[str], str], indent: str
    ) -> tuple[list[str], list[str]]:
        """Return statements that compute expressions over named variables, and the texts of the results."""
        emitter = Emitter(
            self.module.declarations, lambda node: WgslValue(names(str(node.data)), 1, type_name(node.dtype))
        )
        emitter.count(roots)
        texts = [bare(emitter.value(root).text) for root in roots]
        return [f"{indent}{line.strip()}" for line in emitter.lines], texts

    def functions(self) -> None:
        """Declare ``join``, which combines the states of two runs, and ``at``, which loads an element's states."""
        members = "\n".join(f"    s{at}: {type_name(dtype)}," for at, dtype in enumerate(self.types))
        self.module.functions.append(f"struct State {{\n{members}\n}}")
        lines, texts = self.emitted(
            self.form.joined(self.value), lambda name: f"{name[0]}.s{name[1:]}", "    "
        )
        self.module.functions.append(
            "\n".join(
                [
                    "fn join(a: State, b: State) -> State {",
                    *lines,
                    f"    return State({', '.join(texts)});",
                    "}",
                ]
            )
        )
        reads = [f"    let index{name} = {self.index(name, 'i')};" for name in self.inputs]
        loaded = {name: f"v{name}" for name in self.inputs}
        reads += [f"    let v{name} = {self.views[name].load(f'index{name}')};" for name in self.inputs]
        if self.of_states:
            texts = list(loaded.values())
        else:
            for name in self.inputs:
                source = variable(name, self.views[name].dtype.compute)
                extra, (text,) = self.emitted([cast(source, self.value)], "v{}".format, "    ")
                reads += [*extra, f"    let w{name} = {text};"]
            lines, texts = self.emitted(
                self.form.lifted(self.value), lambda name: name if name == "i" else f"w{name}", "    "
            )
            reads += lines
        head = "fn at(r0: i32, r1: i32, i: i32) -> State {"
        self.module.functions.append("\n".join([head, *reads, f"    return State({', '.join(texts)});", "}"]))

    def index(self, name: str, place: str) -> str:
        """Return the element index of a buffer at a row and a position."""
        p = {part: self.p[f"{name}_{part}"] for part in ("offset", "first", "s0", "s1", "sn")}
        return f"{p['offset']} + {p['first']} + r0 * {p['s0']} + r1 * {p['s1']} + {place} * {p['sn']}"

    def store(self, state: str, place: str, indent: str) -> list[str]:
        """Return statements that store a state's results at a position."""
        lines = []
        for name, at in zip(self.targets, self.outputs, strict=True):
            view = self.views[name]
            source, target = variable("state", self.types[at]), view.dtype.compute
            place_of = f"{state}.s{at}".format  # returns this text for all names
            extra, (text,) = self.emitted([cast(source, target)], place_of, indent)
            lines += [
                *extra,
                f"{indent}let to_{name} = {self.index(name, place)};",
                f"{indent}let out_{name} = {text};",
            ]
            lines += [
                f"{indent}{line}"
                for line in view.store(f"to_{name}", f"out_{name}", self.module.declarations)
            ]
        return lines

    def zero_state(self) -> str:
        """Return a state of zeros, the initial value of variables; it is never combined with another state."""
        texts = [literal(False if d.kind == "bool" else 0, d, self.module.declarations) for d in self.types]
        return f"State({', '.join(texts)})"


_ROW = """\
    let r0 = row / {rows1};
    let r1 = row - r0 * {rows1};"""


@template("wgsl", "scan")
def scan(library: Library, profile: TargetProfile) -> KernelSpec:
    """Return the kernel. Buffers: inputs, carried totals (``stage="carry"``), outputs; last parameter: ``blocks``."""
    writer = _Writer(library, profile)
    writer.functions()
    return _serial(writer) if writer.layout == "serial" else _blocks(writer)


def _serial(writer: _Writer) -> KernelSpec:
    p, module = writer.p, writer.module
    module.bound_steps(variable("n", INDEX))
    body = [
        f"    let row = i32((workgroup_id.y * workgroups.x + workgroup_id.x) * {writer.size}u + local);",
        f"    if (row >= {p['rows0']} * {p['rows1']}) {{",
        "        return;",
        "    }",
        _ROW.format(**p),
        f"    var state = {writer.zero_state()};",
        f"    for (var i = 0i; i < {p['n']}; i++) {{",
        "        let own = at(r0, r1, i);",
        "        if (i == 0i) {",
        "            state = own;",
        "        } else {",
        "            state = join(state, own);",
        "        }",
        *writer.store("state", "i", "        "),
        "    }",
    ]
    rows = variable("rows0", INDEX) * variable("rows1", INDEX)
    return module.finish(body, work.grid(work.groups(rows, writer.size)))


def _blocks(writer: _Writer) -> KernelSpec:
    p, module, size = writer.p, writer.module, writer.size
    shared = [module.shared(f"shared{at}", type_name(dtype), size) for at, dtype in enumerate(writer.types)]
    module.bound_steps(const(4 * SHARE + 2 * size.bit_length(), INDEX))
    put = "\n".join(f"    {name}[local] = run.s{at};" for at, name in enumerate(shared))

    def get(place: str) -> str:
        return f"State({', '.join(f'{name}[{place}]' for name in shared)})"

    steps = []
    distance = 1
    while distance < size:
        steps.append(f"""\
    if (local >= {distance}u) {{
        run = join({get(f"local - {distance}u")}, run);
    }}
    workgroupBarrier();
{put}
    workgroupBarrier();""")
        distance *= 2
    body = [
        "    let group = i32(workgroup_id.y * workgroups.x + workgroup_id.x);",
        f"    let row = group / {p['blocks']};",
        f"    let block = group - row * {p['blocks']};",
        _ROW.format(**p),
        f"    let start = block * {size * SHARE}i + i32(local) * {SHARE}i;",
        f"    let real = row < {p['rows0']} * {p['rows1']};",
        f"    let stop = select(start, min(start + {SHARE}i, {p['n']}), real);",
        f"    var run = {writer.zero_state()};",
        "    for (var i = start; i < stop; i++) {",
        "        let own = at(r0, r1, i);",
        "        if (i == start) {",
        "            run = own;",
        "        } else {",
        "            run = join(run, own);",
        "        }",
        "    }",
        put,
        "    workgroupBarrier();",
        *steps,
    ]
    body += _totals(writer, p) if writer.stage == "totals" else _results(writer, p, get)
    rows = variable("rows0", INDEX) * variable("rows1", INDEX)
    return module.finish(body, work.grid(rows * variable("blocks", INDEX)))


def _totals(writer: _Writer, p: dict[str, str]) -> list[str]:
    """Return statements that store the block's total: the run that ends with its last element."""
    return [
        f"    let last = min((block + 1i) * {writer.size * SHARE}i, {p['n']});",
        "    if (start < stop && stop == last) {",
        *writer.store("run", "block", "        "),
        "    }",
    ]


def _results(writer: _Writer, p: dict[str, str], get: Callable[[str], str]) -> list[str]:
    """Return statements by which each invocation scans its share again, from the state before it."""
    lines = [f"    var state = {writer.zero_state()};", "    var some = false;"]
    if writer.stage == "carry":
        reads = [
            f"        let index{name} = {writer.index(name, '(block - 1i)')};" for name in writer.carries
        ]
        loads = ", ".join(writer.views[name].load(f"index{name}") for name in writer.carries)
        lines += [
            "    if (real && block > 0i) {",
            *reads,
            f"        state = State({loads});",
            "        some = true;",
            "    }",
        ]
    return [
        *lines,
        "    if (local > 0u) {",
        f"        let before = {get('local - 1u')};",
        "        if (some) {",
        "            state = join(state, before);",
        "        } else {",
        "            state = before;",
        "        }",
        "        some = true;",
        "    }",
        "    for (var i = start; i < stop; i++) {",
        "        let own = at(r0, r1, i);",
        "        if (some) {",
        "            state = join(state, own);",
        "        } else {",
        "            state = own;",
        "        }",
        "        some = true;",
        *writer.store("state", "i", "        "),
        "    }",
    ]
