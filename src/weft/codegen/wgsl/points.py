"""Writes a point of a part in WGSL: its place, reductions, checks and stores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from weft.codegen.folds import passes, position
from weft.codegen.wgsl import reductions, work
from weft.codegen.wgsl.module import Module
from weft.codegen.wgsl.storage import View
from weft.errors import KernelError
from weft.expr import Expr, const, simplify, walk
from weft.expr.node import INDEX
from weft.expr.wgsl import Emitter, WgslValue
from weft.expr.wgsl_text import bare, identifier, type_name
from weft.kernels import Axis, Check, Kernel, Part, Reduction, Store, may_coincide

UNROLLED = 4
"""Points of a reduction whose loads are in flight together on a GPU."""


class PointWriter:
    """Writes the statements of a point, in a function with variables ``group`` and ``local``."""

    def __init__(self, module: Module, kernel: Kernel, part: Part) -> None:
        self.module = module
        self.part = part
        self.cooperative = bool(kernel.cooperative and part.reduce_axes)
        self.team = (
            min(kernel.cooperative, module.invocations) if kernel.cooperative > 1 else module.invocations
        )
        if self.team & (self.team - 1):
            raise KernelError(
                f"kernel {kernel.name}: cooperative is {kernel.cooperative}, expected a power of two"
            )
        self.whole = self.team == module.invocations
        self.unrolled = 1 if module.profile.software else UNROLLED
        self.views = {view.name: view for view in module.views}
        self.parameters = {parameter.name for parameter in kernel.parameters}
        self.emitter = Emitter(module.declarations, self.resolve)
        self.emitter.reserved = frozenset((*_names(part), *self.views))
        self.steps = const(-1, INDEX)  # of all loops together, but for the end of the last one
        self._checks = [check for check in part.checks if check.inner]  # those not written yet

    # -- names and memory ---------------------------------------------------------------------------------

    def resolve(self, node: Expr) -> WgslValue:
        """Return the text of a parameter or a load."""
        if node.function == "variable":
            if node.data not in self.parameters:
                raise KernelError(
                    f"kernel {self.module.name}: variable {node.data!r} is not a parameter, an axis, "
                    f"or a reduction's result at this place"
                )
            return WgslValue(self.module.parameter(node.data), 1, type_name(node.dtype))
        return self.load(node)

    def load(self, node: Expr) -> WgslValue:
        """Return the text of a load node, in the node's type."""
        view = self.view(node.data)
        take = self.emitter.value if view.plain else self.emitter.named
        text = view.load(bare(take(node.args[0]).text))
        wanted, given = type_name(node.dtype), type_name(view.dtype)
        return WgslValue(text if wanted == given else f"{wanted}({text})", 1, wanted, 1)

    def view(self, buffer: str) -> View:
        """Return the view of a buffer; raise ``KernelError`` for a name that the kernel does not list."""
        view = self.views.get(identifier(buffer))
        if view is None:
            raise KernelError(
                f"kernel {self.module.name}: buffer {buffer!r} is not one of {', '.join(self.views)}"
            )
        return view

    # -- one point ----------------------------------------------------------------------------------------

    def write(self) -> list[str]:
        """Return all statements of the part."""
        emitter, part = self.emitter, self.part
        emitter.count(part.expressions)
        self.prepare()
        self.start()
        self.checks(check for check in part.checks if not check.inner)
        for group in passes(part.reductions):
            self.reduce(group)
        outer = [store for store in part.stores if not store.inner]
        inner = [store for store in part.stores if store.inner]
        values = self.store_values(outer, alone=not inner and len(outer) == 1)
        if inner or self._checks:
            if self.cooperative:
                self.wait_for_reads(inner)
            if self.cooperative and not self.whole:
                with emitter.block("if (here)"):
                    self.over_reduction(_store_roots(inner), lambda position: self.store_all(inner))
            else:
                self.over_reduction(_store_roots(inner), lambda position: self.store_all(inner))
        if self.cooperative and values:
            with emitter.block(f"if ({self.first})"):
                self.stores(outer, values)
        else:
            self.stores(outer, values)
        if part.reduce_axes:
            self.module.bound_steps(self.steps)
        return emitter.lines

    def wait_for_reads(self, stores: Sequence[Store]) -> None:
        """Write a barrier between reads and stores if the stores write a buffer that the part reads."""
        read = {node.data for node in walk(*self.part.expressions) if node.function == "load"}
        if any(store.buffer in read for store in stores):
            self.emitter.line("storageBarrier();")

    @property
    def first(self) -> str:
        """The condition under which an invocation is the first of its team, which stores its results."""
        return "local == 0u" if self.whole else "lane == 0u && here"

    def prepare(self) -> None:
        """Prepare further emitters, before the first statement."""

    def start(self) -> None:
        """Write which point this invocation has; an invocation without a point returns.

        Teams smaller than the workgroup stay for its barriers; beyond the last point they repeat it.
        """
        if self.cooperative and not self.whole:
            count = self.emitter.named(work.points(self.part.axes)).text
            each = self.module.invocations // self.team
            self.emitter.line(f"let lane = local % {self.team}u;")
            self.emitter.line(f"let place = group * {each}u + local / {self.team}u;")
            self.emitter.line(f"let here = place < u32({count});")
            self.emitter.line(f"let item = min(place, u32({count}) - 1u);")
            self.decode(self.part.axes, "item")
            return
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

    def reduce(self, group: Sequence[Reduction]) -> None:
        """Fold reductions in one pass over the reduction axes."""
        emitter = self.emitter
        folds = [self.fold(each) for each in group]
        blocked = any(fold.blocked for fold in folds)
        terms = emitter.fresh("terms")
        for fold in folds:
            fold.declare(emitter)
        if blocked:
            emitter.line(f"var {terms} = 0u;")

        def body(position: Callable[[], str]) -> None:
            for fold in folds:
                value = self.folded_value(fold.reduction)
                fold.join(emitter, value, position() if fold.positional else "")

        def end_blocks() -> None:
            for fold in folds:
                fold.end_block(emitter)

        def after(count: int) -> None:
            if blocked:
                emitter.line(f"{terms}++;" if count == 1 else f"{terms} += {count}u;")
                with emitter.block(f"if ({terms} % {reductions.BLOCK}u == 0u)"):
                    end_blocks()

        self.over_reduction([each.value for each in group], body, after, self.unrolled)
        end_blocks()
        folds = [self.folded(fold) for fold in folds]
        if self.cooperative:
            self.join(folds)
        for fold in folds:
            emitter.define(fold.reduction.result, fold.accumulator)

    def join(self, folds: Sequence[reductions.Fold]) -> None:
        """Join the accumulators of a team, by subgroups where there are any."""
        given = self.emitter, folds, self.team, self.whole, [self.arrays(i, f) for i, f in enumerate(folds)]
        if not reductions.subgroup_tree(*given, self.module.subgroup()):
            reductions.tree(*given)

    def fold(self, reduction: Reduction) -> reductions.Fold:
        """Return the fold of an invocation's own terms."""
        return reductions.make_fold(reduction, identifier(reduction.result.data))

    def folded_value(self, reduction: Reduction) -> str:
        """Return the text of the next terms."""
        return self.emitter.named(reduction.value).text

    def folded(self, fold: reductions.Fold) -> reductions.Fold:
        """Return the fold of scalars, after the loop."""
        return fold

    def arrays(self, number: int, fold: reductions.Fold) -> reductions.Arrays:
        """Return the workgroup arrays of a pass's fold, which later passes reuse."""
        kind, teams = reductions.array_type(fold.dtype), self.module.invocations // self.team

        def of_step(step: int, count: int) -> tuple[str, str]:
            name = f"{number}_{step}" if step else str(number)
            values = self.module.shared(f"shared_{kind}_{name}", kind, teams * count)
            if not fold.positional:
                return values, ""
            return values, self.module.shared(f"positions_{name}", "i32", teams * count)

        return of_step

    def over_reduction(
        self,
        roots: Sequence[Expr],
        body: Callable[[Callable[[], str]], None],
        after: Callable[[int], None] = lambda count: None,
        unrolled: int = 1,
    ) -> None:
        """Write ``body`` for the reduction points of this invocation; it may ask for the point's position.

        ``after`` is called at the end of each loop step, with the step's number of points: ``unrolled`` or 1.
        """
        checks, self._checks = self._checks, []
        roots = [*roots, *(root for check in checks for root in (check.valid, check.value))]

        def whole(position: Callable[[], str]) -> None:
            self.checks(checks)
            body(position)

        axes = self.part.reduce_axes
        if self.cooperative:
            self.steps = simplify(self.steps + (work.groups(work.points(axes), self.team) + 1))
            self.strided(roots, whole, after, unrolled)
        else:
            for level in range(len(axes)):  # a loop that is entered n times takes n steps more, to end
                entered, taken = work.points(axes[:level]), work.points(axes[: level + 1])
                self.steps = simplify(self.steps + (entered + taken))
            self._nested(roots, whole, after, unrolled, 0)

    def _nested(
        self, roots: Sequence[Expr], body: Callable[[Callable[[], str]], None], after: Callable[[int], None],
        unrolled: int, level: int,
    ) -> None:  # fmt: skip
        axes = self.part.reduce_axes
        if level == len(axes):
            body(self._position)
            after(1)
            return
        self.emitter.hoist(roots, [axis.variable for axis in axes[level:]])
        size = self.emitter.named(axes[level].size).text
        name = identifier(axes[level].variable.data)
        if unrolled == 1 or level < len(axes) - 1:
            with self.emitter.block(f"for (var {name} = 0i; {name} < {size}; {name}++)"):
                self.emitter.define(axes[level].variable, name)
                self._nested(roots, body, after, unrolled, level + 1)
            return

        def at(text: str) -> None:
            self.define(axes[level], text)
            body(self._position)

        self._unrolled(f"{name}_next", "0i", "i", size, 1, unrolled, at, after)

    def _unrolled(
        self, name: str, start: str, suffix: str, end: str, stride: int, unrolled: int,
        at: Callable[[str], None], after: Callable[[int], None],
    ) -> None:  # fmt: skip
        """Write a loop with ``unrolled`` loads in flight, and a loop for the rest."""
        emitter = self.emitter
        name = emitter.fresh(name)
        emitter.line(f"var {name} = {start};")
        step = stride * unrolled
        with emitter.block(f"for (; {name} + {step - stride}{suffix} < {end}; {name} += {step}{suffix})"):
            for number in range(unrolled):
                with emitter.block(""):
                    at(f"{name} + {number * stride}{suffix}")
            after(unrolled)
        with emitter.block(f"for (; {name} < {end}; {name} += {stride}{suffix})"):
            at(name)

    def _position(self) -> str:
        """Return the row-major position of the current reduction point."""
        return self.emitter.value(position(self.part.reduce_axes)).text

    def strided(
        self, roots: Sequence[Expr], body: Callable[[Callable[[], str]], None], after: Callable[[int], None],
        unrolled: int,
    ) -> None:  # fmt: skip
        """Write a workgroup-strided loop: from this invocation's number on, at a stride of the team's size."""
        axes = self.part.reduce_axes
        self.emitter.hoist(roots, [axis.variable for axis in axes])
        total = f"u32({self.emitter.named(work.points(axes)).text})"
        lane = "local" if self.whole else "lane"
        if unrolled == 1:
            with self.emitter.block(f"for (var step = {lane}; step < {total}; step += {self.team}u)"):
                self.decode(axes, "step")
                body(lambda: "i32(step)")
                after(1)
            return

        def at(text: str) -> None:
            self.emitter.line(f"let step = {text};")
            self.decode(axes, "step")
            body(lambda: "i32(step)")

        self._unrolled("next", lane, "u", total, self.team, unrolled, at, after)

    # -- stores and checks --------------------------------------------------------------------------------

    def store_all(self, stores: Sequence[Store]) -> None:
        """Compute all values, then write them: a store may change what another store's value reads."""
        self.stores(stores, self.store_values(stores, alone=len(stores) == 1))

    def store_values(self, stores: Sequence[Store], alone: bool) -> list[tuple[str, str]]:
        """Return the texts of each store's index and value: names, unless a single store follows (``alone``)."""
        take = self.emitter.value if alone else self.emitter.named
        texts = []
        for store in stores:
            place = take if self.view(store.buffer).plain else self.emitter.named
            texts.append((bare(place(store.index).text), bare(take(store.value).text)))
        return texts

    def stores(self, stores: Sequence[Store], values: Sequence[tuple[str, str]]) -> None:
        """Write computed values."""
        for store, (index, value) in zip(stores, values, strict=True):
            view = self.check_store(store)
            for line in view.store(index, value, self.module.declarations, may_coincide(store.index)):
                self.emitter.line(line)

    def check_store(self, store: Store) -> View:
        """Return the view that a store writes; raise ``KernelError`` where it is read-only or of another type."""
        view = self.view(store.buffer)
        if type_name(store.value.dtype) != type_name(view.dtype) or not view.written:
            raise KernelError(
                f"kernel {self.module.name}: a {store.value.dtype.name} value is stored to buffer {view.name}, "
                f"expected a read_write buffer of that compute type, not {view.dtype.name}"
            )
        return view

    def checks(self, checks: Iterable[Check]) -> None:
        """Report the values of checks that fail at this point."""
        for check in checks:
            valid = self.emitter.value(check.valid).text
            value = self.emitter.named(check.value)
            first = f"{self.first} && " if self.cooperative and not check.inner else ""
            with self.emitter.block(f"if ({first}!({valid}))"):
                self.emitter.line(f"weft_report({as_i32(value.text, value.type)});")


def _names(part: Part) -> list[str]:
    """Return the names of the part's variables."""
    given = [
        *(axis.variable for axis in (*part.axes, *part.reduce_axes)),
        *(each.result for each in part.reductions),
    ]
    return [identifier(variable.data) for variable in given]


def _store_roots(stores: Sequence[Store]) -> list[Expr]:
    return [root for store in stores for root in (store.index, store.value)]


def as_i32(text: str, kind: str) -> str:
    """Return a reported value's text as an i32; ``kind`` is its WGSL type."""
    return text if kind == "i32" else f"i32({text})"
