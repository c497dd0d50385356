"""Derived kernels as WGSL: every part gets a range of workgroups, every invocation a point (or four, or a share).

``PointWriter`` writes one point of a part; ``write_kernel`` lays the parts out over the workgroups.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

from weft.codegen.wgsl import reductions, work
from weft.codegen.wgsl.module import Module, limit
from weft.codegen.wgsl.storage import View
from weft.errors import KernelError
from weft.expr import Expr, walk
from weft.expr.wgsl import Emitter, Value, bare, identifier, type_name
from weft.kernels import Axis, Check, Kernel, Part, Reduction, Store
from weft.target import KernelSpec, TargetProfile

INVOCATIONS = 256
SOFTWARE_SHARE = 8
"""Invocations that share a reduction on a software rasteriser: one vector of the processor, so barriers are free."""


class PointWriter:
    """Statements for one point of a part, in a function where ``group`` and ``local`` are known."""

    def __init__(self, module: Module, kernel: Kernel, part: Part) -> None:
        self.module = module
        self.part = part
        self.cooperative = kernel.cooperative and bool(part.reduce_axes)
        self.views = {view.name: view for view in module.views}
        self.parameters = {parameter.name for parameter in kernel.parameters}
        self.emitter = Emitter(module.declarations, self.resolve)
        self.emitter.reserved = frozenset(_names(part))
        self._checks = [check for check in part.checks if check.inner]  # those not written yet

    # -- names and memory ---------------------------------------------------------------------------------

    def resolve(self, node: Expr) -> Value:
        """The text of a parameter or a load."""
        if node.function == "variable":
            if node.data not in self.parameters:
                raise KernelError(
                    f"kernel {self.module.name}: variable {node.data!r} is not a parameter, an axis, "
                    f"or a reduction's result at this place"
                )
            return Value(self.module.parameter(node.data), 1, type_name(node.dtype))
        return self.load(node)

    def load(self, node: Expr) -> Value:
        """The element that a load node names, as the node's type."""
        view = self.view(node.data)
        take = self.emitter.value if view.plain else self.emitter.named
        text = view.load(bare(take(node.args[0]).text))
        wanted, given = type_name(node.dtype), type_name(view.dtype)
        return Value(text if wanted == given else f"{wanted}({text})", 1, wanted, 1)

    def view(self, buffer: str) -> View:
        """The view of a buffer; ``KernelError`` for a name that the kernel does not list."""
        view = self.views.get(identifier(buffer))
        if view is None:
            raise KernelError(
                f"kernel {self.module.name}: buffer {buffer!r} is not one of {', '.join(self.views)}"
            )
        return view

    # -- one point ----------------------------------------------------------------------------------------

    def write(self) -> list[str]:
        """All statements of the part."""
        emitter, part = self.emitter, self.part
        emitter.count(_roots(part))
        self.start()
        self.checks(check for check in part.checks if not check.inner)
        for together in _independent(part.reductions):
            self.reduce(together)
        outer = [store for store in part.stores if not store.inner]
        inner = [store for store in part.stores if store.inner]
        values = self.store_values(outer, alone=not inner and len(outer) == 1)
        if inner or self._checks:
            if self.cooperative:
                emitter.line("storageBarrier();")  # all have read before any writes
            self.over_reduction(_store_roots(inner), lambda position: self.store_all(inner))
        if self.cooperative and values:
            with emitter.block("if (local == 0u)"):
                self.stores(outer, values)
        else:
            self.stores(outer, values)
        return emitter.lines

    def start(self) -> None:
        """Which point this invocation has; leave where there is none."""
        each = 1 if self.cooperative else self.module.invocations
        self.emitter.line("let item = group;" if each == 1 else f"let item = group * {each}u + local;")
        count = self.emitter.named(work.points(self.part.axes)).text
        self.emitter.line(f"if (item >= u32({count})) {{")
        self.emitter.line("    return;")
        self.emitter.line("}")
        self.decode(self.part.axes, "item")

    def decode(self, axes: Sequence[Axis], position: str) -> None:
        """Define the axes' variables from a row-major position, a u32."""
        rest = position
        for axis in reversed(axes[1:]):
            size = f"u32({self.emitter.named(axis.size).text})"
            self.define(axis, f"i32({rest} % {size})")
            name = self.emitter.fresh("rest")
            self.emitter.line(f"let {name} = {rest} / {size};")
            rest = name
        if axes:
            self.define(axes[0], f"i32({rest})")

    def define(self, axis: Axis, text: str) -> None:
        """Give an axis variable its value in the current scope."""
        name = identifier(axis.variable.data)
        self.emitter.line(f"let {name} = {text};")
        self.emitter.define(axis.variable, name)

    # -- reductions ---------------------------------------------------------------------------------------

    def reduce(self, together: Sequence[Reduction]) -> None:
        """Fold values that share one pass over the reduction axes."""
        emitter = self.emitter
        folds = [reductions.make_fold(each, identifier(each.result.data)) for each in together]
        blocked = any(fold.blocked for fold in folds)
        terms = emitter.fresh("terms")
        for fold in folds:
            fold.declare(emitter)
        if blocked:
            emitter.line(f"var {terms} = 0u;")

        def body(position: Callable[[], str]) -> None:
            for fold in folds:
                value = emitter.named(fold.reduction.value).text
                fold.join(emitter, value, position() if fold.rule.positional else "")
            if blocked:
                emitter.line(f"{terms}++;")
                with emitter.block(f"if ({terms} % {reductions.BLOCK}u == 0u)"):
                    end_blocks()

        def end_blocks() -> None:
            for fold in folds:
                fold.end_block(emitter)

        self.over_reduction([each.value for each in together], body)
        end_blocks()
        if self.cooperative:
            reductions.tree(emitter, folds, self.module.invocations, [self.arrays(i, f) for i, f in enumerate(folds)])
        for fold in folds:
            emitter.define(fold.reduction.result, fold.accumulator)

    def arrays(self, number: int, fold: reductions.Fold) -> tuple[str, str]:
        """The workgroup arrays of a pass's fold; later passes use them again."""
        kind, count = reductions.array_type(fold.dtype), self.module.invocations
        values = self.module.shared(f"shared_{kind}_{number}", kind, count)
        positions = self.module.shared(f"positions_{number}", "i32", count) if fold.rule.positional else ""
        return values, positions

    def over_reduction(self, roots: Sequence[Expr], body: Callable[[Callable[[], str]], None]) -> None:
        """Run ``body`` at every reduction point that is this invocation's; it may ask for the point's position."""
        checks, self._checks = self._checks, []
        roots = [*roots, *(root for check in checks for root in (check.valid, check.value))]

        def whole(position: Callable[[], str]) -> None:
            self.checks(checks)
            body(position)

        if self.cooperative:
            self._strided(roots, whole)
        else:
            self._nested(roots, whole, 0)

    def _nested(self, roots: Sequence[Expr], body: Callable[[Callable[[], str]], None], level: int) -> None:
        axes = self.part.reduce_axes
        if level == len(axes):
            body(self._position)
            return
        self.emitter.hoist(roots, [axis.variable for axis in axes[level:]])
        size = self.emitter.named(axes[level].size).text
        name = identifier(axes[level].variable.data)
        with self.emitter.block(f"for (var {name} = 0i; {name} < {size}; {name}++)"):
            self.emitter.define(axes[level].variable, name)
            self._nested(roots, body, level + 1)

    def _position(self) -> str:
        """The row-major position of the current reduction point."""
        text = ""
        for axis in self.part.reduce_axes:
            name = self.emitter.value(axis.variable).text
            text = f"({text} * {self.emitter.named(axis.size).text} + {name})" if text else name
        return text or "0i"

    def _strided(self, roots: Sequence[Expr], body: Callable[[Callable[[], str]], None]) -> None:
        axes = self.part.reduce_axes
        self.emitter.hoist(roots, [axis.variable for axis in axes])
        total = self.emitter.named(work.points(axes)).text
        step = self.module.invocations
        with self.emitter.block(f"for (var step = local; step < u32({total}); step += {step}u)"):
            self.decode(axes, "step")
            body(lambda: "i32(step)")

    # -- stores and checks --------------------------------------------------------------------------------

    def store_all(self, stores: Sequence[Store]) -> None:
        """Compute all values, then write them: a store may change what another one's value reads."""
        self.stores(stores, self.store_values(stores, alone=len(stores) == 1))

    def store_values(self, stores: Sequence[Store], alone: bool) -> list[tuple[str, str]]:
        """The texts of each store's index and value; names, unless a single store follows ``alone``."""
        take = self.emitter.value if alone else self.emitter.named
        texts = []
        for store in stores:
            place = take if self.view(store.buffer).plain else self.emitter.named
            texts.append((bare(place(store.index).text), bare(take(store.value).text)))
        return texts

    def stores(self, stores: Sequence[Store], values: Sequence[tuple[str, str]]) -> None:
        """The statements that write computed values."""
        for store, (index, value) in zip(stores, values, strict=True):
            view = self.view(store.buffer)
            if type_name(store.value.dtype) != type_name(view.dtype) or not view.written:
                raise KernelError(
                    f"kernel {self.module.name}: a {store.value.dtype.name} value is stored to buffer {view.name}, "
                    f"expected a read_write buffer of that compute type, not {view.dtype.name}"
                )
            for line in view.store(index, value, self.module.declarations):
                self.emitter.line(line)

    def checks(self, checks: Iterable[Check]) -> None:
        """Report the values of checks that fail at this point."""
        for check in checks:
            valid = self.emitter.value(check.valid).text
            value = self.emitter.named(check.value)
            first = "local == 0u && " if self.cooperative and not check.inner else ""
            with self.emitter.block(f"if ({first}!({valid}))"):
                self.emitter.line(f"weft_report({_as_i32(value.text, value.type)});")


class VectorWriter(PointWriter):
    """Four neighbouring points of a one-axis part at a time, the last invocation's fewer."""

    def __init__(self, module: Module, kernel: Kernel, part: Part) -> None:
        super().__init__(module, kernel, part)
        if len(part.axes) != 1 or part.reduce_axes:
            raise KernelError(
                f"kernel {kernel.name}: vector is {kernel.vector}, expected 1 for a part of "
                f"{len(part.axes)} axes and {len(part.reduce_axes)} reduction axes"
            )
        self.axis = part.axes[0]
        self.four = self.emitter.beside(self.resolve_four, width=4, opaque_loads=True)

    def resolve_four(self, node: Expr) -> Value:
        """The text of a parameter, or of a load: of four elements where its index moves with the axis."""
        if node.function == "variable":
            return self.resolve(node)
        index = node.args[0]
        if self.axis.variable not in set(walk(index)):
            return self.load(node)
        self._must_be_contiguous(index)
        view = self.view(node.data)
        wanted, given = type_name(node.dtype, 4), type_name(view.dtype, 4)
        text = view.load4(self.emitter.named(index).text)
        return Value(text if wanted == given else f"{wanted}({text})", 4, wanted, 1)

    def write(self) -> list[str]:
        """All statements of the part."""
        emitter, four = self.emitter, self.four
        four.count(_roots(self.part))
        count = emitter.named(self.axis.size).text
        name = identifier(self.axis.variable.data)
        emitter.line(f"let {name} = i32(group * {self.module.invocations}u + local) * 4i;")
        emitter.line(f"let rest = {count} - {name};")
        emitter.line("if (rest <= 0i) {")
        emitter.line("    return;")
        emitter.line("}")
        emitter.define(self.axis.variable, name)
        four.define(self.axis.variable, f"(vec4<i32>({name}) + vec4<i32>(0i, 1i, 2i, 3i))", 4)
        self.checks(self.part.checks)
        placed = [(self._index(store), self._value(store)) for store in self.part.stores]
        for store, (index, value) in zip(self.part.stores, placed, strict=True):
            for line in self.view(store.buffer).store4(index, value, "rest", self.module.declarations):
                emitter.line(line)
        return emitter.lines

    def _index(self, store: Store) -> str:
        self._must_be_contiguous(store.index)
        return self.emitter.named(store.index).text

    def _value(self, store: Store) -> str:
        view = self.view(store.buffer)
        if type_name(store.value.dtype) != type_name(view.dtype) or not view.written:
            raise KernelError(
                f"kernel {self.module.name}: a {store.value.dtype.name} value is stored to buffer {view.name}, "
                f"expected a read_write buffer of that compute type, not {view.dtype.name}"
            )
        value = self.four.named(store.value)
        if value.width == 4:
            return value.text
        name = self.emitter.fresh()
        self.emitter.line(f"let {name} = {self.four.widened(value)};")
        return name

    def checks(self, checks: Iterable[Check]) -> None:
        """Report the values of checks that fail at one of the four points."""
        for check in checks:
            valid, value = self.four.named(check.valid), self.four.named(check.value)
            for lane in range(4):
                at = [each.text if each.width == 1 else f"{each.text}.{'xyzw'[lane]}" for each in (valid, value)]
                scalar = type_name(check.value.dtype)
                with self.emitter.block(f"if (rest > {lane}i && !{at[0]})"):
                    self.emitter.line(f"weft_report({_as_i32(at[1], scalar)});")

    def _must_be_contiguous(self, index: Expr) -> None:
        terms, moving = [index], 0
        while terms:
            term = terms.pop()
            if term.function == "add":
                terms.extend(term.args)
            elif term is self.axis.variable:
                moving += 1
            elif self.axis.variable in set(walk(term)):
                moving = 2
        if moving != 1:
            raise KernelError(
                f"kernel {self.module.name}: index {index!r} of a vector kernel, expected an offset plus the axis"
            )


def write_kernel(kernel: Kernel, profile: TargetProfile) -> KernelSpec:
    """The WGSL of a derived kernel; ``KernelError`` for one that is malformed or over a limit."""
    if kernel.vector not in (1, 4):
        raise KernelError(f"kernel {kernel.name}: vector is {kernel.vector}, expected 1 or 4")
    order = [buffer.access for buffer in kernel.buffers]
    if order != sorted(order):
        raise KernelError(f"kernel {kernel.name}: buffers are {', '.join(order)}, expected read-only ones first")
    views = tuple(
        View(identifier(buffer.name), buffer.dtype, buffer.access == "read_write", _vector(kernel, buffer.name))
        for buffer in kernel.buffers
    )
    wanted = SOFTWARE_SHARE if profile.software and kernel.cooperative else INVOCATIONS
    invocations = min(wanted, limit(profile, "max-compute-invocations-per-workgroup"))
    module = Module(kernel.name, profile, kernel.parameters, views, (invocations, 1, 1), kernel.reports)
    writer = VectorWriter if kernel.vector == 4 else PointWriter
    bodies = [writer(module, kernel, part).write() for part in kernel.parts]
    counts = [_groups(kernel, part, invocations) for part in kernel.parts]
    return module.finish(_lay_out(module, bodies, counts), work.grid(work.together(counts)))


def _lay_out(module: Module, bodies: Sequence[list[str]], counts: Sequence[Expr]) -> list[str]:
    """The entry point's statements: one part as it stands, several as functions over ranges of workgroups."""
    linear = "workgroup_id.y * workgroups.x + workgroup_id.x"
    if len(bodies) == 1:
        return [f"    let group = {linear};", *bodies[0]]
    emitter = Emitter(module.declarations, lambda node: Value(module.parameter(node.data), 1, type_name(node.dtype)))
    emitter.line(f"var group = {linear};")
    for number, (body, count) in enumerate(zip(bodies, counts, strict=True)):
        module.functions.append("\n".join([f"fn part_{number}(group: u32, local: u32) {{", *body, "}"]))
        groups = emitter.named(count).text
        emitter.line(f"if (group < u32({groups})) {{")
        emitter.line(f"    part_{number}(group, local);")
        emitter.line("    return;")
        emitter.line("}")
        emitter.line(f"group -= u32({groups});")
    return emitter.lines[:-1]


def _groups(kernel: Kernel, part: Part, invocations: int) -> Expr:
    points = work.points(part.axes)
    if kernel.cooperative and part.reduce_axes:
        return points
    return work.groups(points, invocations * kernel.vector)


def _vector(kernel: Kernel, buffer: str) -> int:
    """How many elements the binding's array holds each: four where the axis runs over the buffer."""
    if kernel.vector == 1:
        return 1
    for part in kernel.parts:
        axis = part.axes[0].variable if part.axes else None
        if any(store.buffer == buffer for store in part.stores):
            return 4
        loads = (node for node in walk(*_roots(part)) if node.function == "load" and node.data == buffer)
        if any(axis in set(walk(node)) for node in loads):
            return 4
    return 1


def _roots(part: Part) -> list[Expr]:
    """Every expression that the part's statements use."""
    return [
        *(root for check in part.checks for root in (check.valid, check.value)),
        *(reduction.value for reduction in part.reductions),
        *_store_roots(part.stores),
    ]


def _names(part: Part) -> list[str]:
    """The names that the part itself gives to variables."""
    given = [*(axis.variable for axis in (*part.axes, *part.reduce_axes)), *(each.result for each in part.reductions)]
    return [identifier(variable.data) for variable in given]


def _store_roots(stores: Sequence[Store]) -> list[Expr]:
    return [root for store in stores for root in (store.index, store.value)]


def _independent(given: Sequence[Reduction]) -> list[list[Reduction]]:
    """Consecutive reductions in groups of which none uses another's result: each group is one pass."""
    passes: list[int] = []
    for reduction in given:
        used = {node for node in walk(reduction.value) if node.function == "variable"}
        earlier = [number for number, other in zip(passes, given, strict=False) if other.result in used]
        passes.append(max([0, *(number + 1 for number in earlier)]))
    keyed = sorted(zip(passes, given, strict=True), key=lambda pair: pair[0])
    return [[reduction for _, reduction in pairs] for _, pairs in groupby(keyed, key=lambda pair: pair[0])]


def _as_i32(text: str, kind: str) -> str:
    return text if kind == "i32" else f"i32({text})"
