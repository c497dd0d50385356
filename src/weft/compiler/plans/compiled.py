"""``CompiledPlan``: one compiled call by itself: what it computes, on what state, and what it costs.

A plan of a living function shares the function's state. One that was loaded has state of its own, by name.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from weft.autograd.mode import no_grad
from weft.compiler.plans.report import PlanReport, report_of
from weft.compiler.plans.timing import PlanProfile
from weft.compiler.plans.trees import Argument, Fixed, Slot, Tree, argument_leaf, collect, tree_of
from weft.compiler.program import CompiledProgram, dense
from weft.errors import ArgumentError, ArgumentTypeError, UnsupportedError, mistake
from weft.graph import Graph
from weft.graph.tracing import call_site
from weft.ops import interpreter_stack
from weft.ops.registry.geometry import contiguous_strides
from weft.plan import Plan
from weft.tensors.array import Array
from weft.tensors.tensor import Tensor


class CompiledPlan:
    """What ``jit(fn).plan(*args)`` and ``load_plan`` give: call it with arguments like those that it was made for.

    ``name`` is the function's, ``device`` where it runs, ``arguments`` and ``result`` are the trees of its calls.
    """

    def __init__(
        self, program: CompiledProgram, arguments: Sequence[Argument], result: Tree, names: Sequence[Sequence[str]],
        lock: AbstractContextManager[Any] | None = None,
    ) -> None:  # fmt: skip
        held_lock = lock or threading.RLock()
        self.program, self.arguments, self.result = program, tuple(arguments), result
        self.names = tuple(map(tuple, names))
        self.name, self.device = program.name, program.device.name
        self.holding: Callable[[], AbstractContextManager[Any]] = lambda: held_lock
        """What is entered around a call, and around what reads or writes the state."""

    @property
    def graph(self) -> Graph:
        """The graph as traced."""
        return self.program.recorded

    @property
    def dispatches(self) -> Plan:
        """The kernels in order with their memory, as they run now."""
        return self.program.plan

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the plan; gives what the function gave, with the captures where it was made with them.

        Raises ``ArgumentError`` or ``ArgumentTypeError`` naming the argument that is another than the plan was made
        for, ``UnsupportedError`` where what a living function reaches has changed so that the plan no longer fits.
        """
        if not interpreter_stack()[0].executes:
            raise UnsupportedError(
                f"{self._where}: a plan is called in a traced function, expected outside; call the function itself"
            )
        given = collect(self._where, self.device, self.arguments, args, kwargs)
        with self.holding():
            self._settle()
            return self.program.run(
                [dense(value) for value in given], given, lambda: f"{self._where} at {call_site()}"
            )

    @property
    def _where(self) -> str:
        return f"plan of {self.name}"

    def _settle(self) -> None:
        """See that the state is what the program was made for."""
        guards = self.program.guards
        if guards.hold():
            return
        reason = guards.adapt()
        if reason:
            raise UnsupportedError(
                f"{self._where}: {reason}, expected all as when the plan was made; make another plan"
            )

    # State.

    def state_dict(self) -> dict[str, Tensor]:
        """The state by name, as it is now: tensors on the plan's memory, which go on changing with its calls.

        A state that has several names (tied weights) stands under each of them.
        """
        with self.holding():
            return {
                name: state for names, state in zip(self.names, self.states(), strict=True) for name in names
            }

    def states(self) -> list[Tensor]:
        """The state in the order of the graph's states."""
        self._settle()
        storages = self.program.guards.storages
        types = [state.initial.type for state in self.graph.states]
        return [
            Tensor.wrap(Array(storage, type_.dtype, type_.shape, contiguous_strides(type_.shape)))
            for storage, type_ in zip(storages, types, strict=True)
        ]

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> None:
        """Write a state by name over the present one; nothing is written on a mistake.

        Raises ``ArgumentError`` for names that are missing or unknown, and for other shapes and types.
        """
        where = f"{self._where}: load_state_dict"
        if not isinstance(state_dict, Mapping):
            raise ArgumentTypeError(
                mistake(where, "state_dict", f"a {type(state_dict).__name__}", "a dict of names and tensors")
            )
        known = {name for names in self.names for name in names}
        unknown = [name for name in state_dict if name not in known]
        if unknown:
            raise ArgumentError(
                mistake(where, "a name", repr(unknown[0]), f"one of {', '.join(sorted(known))}")
            )
        with self.holding(), no_grad():
            pairs = []
            for names, state in zip(self.names, self.states(), strict=True):
                name = next((candidate for candidate in names if candidate in state_dict), None)
                if name is None:
                    raise ArgumentError(mistake(where, repr(names[0]), "missing", "a tensor"))
                value = state_dict[name]
                if not isinstance(value, Tensor):
                    raise ArgumentTypeError(
                        mistake(where, repr(name), f"a {type(value).__name__}", "a tensor")
                    )
                if (value.shape, value.dtype) != (state.shape, state.dtype):
                    given = f"{value.dtype.name}{list(value.shape)}"
                    raise ArgumentError(
                        mistake(where, repr(name), given, f"{state.dtype.name}{list(state.shape)}")
                    )
                pairs.append((state, value.detach().to(self.device)))
            for target, value in pairs:
                target.copy_(value)

    def save(self, directory: str | os.PathLike[str]) -> None:
        """Write the plan and its state as a directory, whole or not at all; a plan that is there is replaced.

        ``plan.json`` holds the graph and what else the call is made of, ``state.safetensors`` the state by name. No
        code is in them: ``load_plan`` makes the kernels anew. Raises ``UnsupportedError`` naming what is no data (an
        object among the arguments, say), ``ArgumentError`` for a directory that holds something else.
        """
        from weft.compiler.plans.saving import save

        save(self, directory)

    # What it costs.

    def report(self) -> PlanReport:
        """What a call does: its dispatches with bytes and operations, and the memory that they take."""
        return report_of(self.name, self.device, self.dispatches)

    def profile(self, *args: Any, **kwargs: Any) -> PlanProfile:
        """Call the plan with every dispatch timed; the state moves on as by any call.

        Times are the GPU's where the adapter has timestamps, else the host's, and of one run: call the plan first, so
        that caches and clocks are warm.
        """
        return PlanProfile(self.report(), self.dispatches, lambda: self(*args, **kwargs))

    def __repr__(self) -> str:
        given = ", ".join(argument.name for argument in self.arguments)
        return f"<plan of {self.name}({given}) on {self.device}>"

    def __str__(self) -> str:
        return str(self.report())


def plan_of(
    program: CompiledProgram, args: tuple[Any, ...], kwargs: dict[str, Any], names: Sequence[str],
    states: Sequence[Sequence[str]], lock: AbstractContextManager[Any],
) -> CompiledPlan:  # fmt: skip
    """The plan of a living program, for arguments like these; ``names`` are those of positional arguments."""
    arguments = []
    for at, value in enumerate(args):
        name = names[at] if at < len(names) else f"argument {at}"
        arguments.append(Argument(name, False, tree_of(value, argument_leaf, name)))
    arguments += [Argument(name, True, tree_of(value, argument_leaf, name)) for name, value in kwargs.items()]
    slots = [_Mark() for _ in range(program._results)]

    def leaf(value: Any, name: str) -> Tree:
        return Slot() if isinstance(value, _Mark) else Fixed(value)

    return CompiledPlan(program, arguments, tree_of(program._fill(slots), leaf, "the result"), states, lock)


class _Mark:
    """Stands for a tensor in a result."""
