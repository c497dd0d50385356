"""``CompiledPlan``: one compiled call as an object: its graph, its state and its costs.

A plan of a function shares the function's state. A loaded plan has its own state, which has names.
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
    """A compiled call, returned by ``jit(fn).plan(*args)`` and ``load_plan``; call it with arguments of the same types.

    ``name`` is the function's name, ``device`` the name of its device, ``arguments`` and ``result`` are the trees of
    its calls.

    >>> import weft as wf
    >>> plan = wf.jit(lambda x, rate: x * rate).plan(wf.ones(2, device="cpu"), 0.5)
    >>> plan.device, [argument.name for argument in plan.arguments], plan(wf.ones(2, device="cpu"), 3.0)
    ('cpu', ['x', 'rate'], tensor([3., 3.]))
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
        """Returns the lock that is held during a call, and while the state is read or written."""

    @property
    def graph(self) -> Graph:
        """The traced graph, before all passes."""
        return self.program.recorded

    @property
    def dispatches(self) -> Plan:
        """The plan of the device: the dispatches in order with their memory."""
        return self.program.plan

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the plan, and return the function's result; a plan with captures returns a pair (result, captures).

        Raises:
            ArgumentError, ArgumentTypeError: an argument has another type or value than the plan was made for.
            UnsupportedError: the state of the function has changed, so that the plan no longer fits.
        """
        if not interpreter_stack()[0].executes:
            raise UnsupportedError(
                f"{self._where}: a plan is called in a traced function, expected a call outside of a trace; call the "
                f"function itself"
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
        """Check the guards of the program, and adapt to replaced tensors."""
        guards = self.program.guards
        if guards.hold():
            return
        reason = guards.adapt()
        if reason:
            raise UnsupportedError(
                f"{self._where}: {reason}, expected the state that the plan was made for; make another plan"
            )

    # State.

    def state_dict(self) -> dict[str, Tensor]:
        """Return the state by name, as tensors on the plan's memory; later calls of the plan change them.

        A state with several names (tied weights) appears under each name.
        """
        with self.holding():
            return {
                name: state for names, state in zip(self.names, self.states(), strict=True) for name in names
            }

    def states(self) -> list[Tensor]:
        """Return the state as tensors, in the order of the graph's states."""
        self._settle()
        storages = self.program.guards.storages
        types = [state.initial.type for state in self.graph.states]
        return [
            Tensor.wrap(Array(storage, type_.dtype, type_.shape, contiguous_strides(type_.shape)))
            for storage, type_ in zip(storages, types, strict=True)
        ]

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> None:
        """Overwrite the state by tensors by name; after an error nothing has changed.

        Raises:
            ArgumentError: a name is missing or unknown, or a tensor has another shape or type.
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
        """Write the plan and its state to a directory, atomically; an earlier plan there is replaced.

        ``plan.json`` holds the graph and the trees of the call, ``state.safetensors`` the state by name. The files hold
        no code: ``load_plan`` generates the kernels again.

        Raises:
            UnsupportedError: the call holds a value that is not plain data, such as an object among the arguments.
            ArgumentError: the directory holds other files.
        """
        from weft.compiler.plans.saving import save

        save(self, directory)

    # Costs.

    def report(self) -> PlanReport:
        """Return the dispatches of a call with their bytes and operations, and the memory of the plan."""
        return report_of(self.name, self.device, self.dispatches)

    def profile(self, *args: Any, **kwargs: Any) -> PlanProfile:
        """Call the plan with every dispatch timed; the call changes the state as any call does.

        Times come from GPU timestamps where the adapter has them, else from the host's clock. They are those of a
        single run: call the plan once before, so that caches and clocks are warm.
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
    """Return the plan of a function's program for arguments like these; ``names`` are those of its parameters."""
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
    """A placeholder of a tensor in a result."""
