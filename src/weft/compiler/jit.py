"""``jit``: a function that is traced once for each signature of its arguments, compiled, and replayed.

The arguments of a call become a key (``signature``), and the key selects programs (``program``). The first program
whose guards hold runs. Where none fits, the function is recompiled, and the log states the reason.
"""

from __future__ import annotations

import functools
import inspect
import logging
import math
import re
import threading
from collections.abc import Callable, Sequence
from typing import Any

from weft import devices
from weft.autograd.mode import is_enabled
from weft.compiler.binding import Bindable
from weft.compiler.derived import DerivedProgram
from weft.compiler.garbage import rare_collections
from weft.compiler.guards import NumberTensor
from weft.compiler.plans.compiled import CompiledPlan, plan_of
from weft.compiler.plans.names import state_names
from weft.compiler.program import CompiledProgram, dense, device_of, is_dense, number_type
from weft.compiler.reached import device_of_call
from weft.compiler.scripting import attach
from weft.compiler.signature import describe, difference, is_input, take
from weft.compiler.trace import record
from weft.dtypes import default_float
from weft.errors import ArgumentError, ArgumentTypeError, UnsupportedError, mistake
from weft.graph import Graph, Tracing
from weft.graph.numbers import Number
from weft.graph.tracing import call_site
from weft.nn.module import Module
from weft.ops import interpreter_stack
from weft.ops.registry.geometry import contiguous_strides
from weft.ops.registry.interpreters import mode_keys, transforming
from weft.tensors.array import Array, layout_key
from weft.tensors.tensor import Tensor
from weft.utils.tree import flatten, paths

LOG = logging.getLogger("weft.compiler")

LAYOUTS = 256
"""Keys of calls that are cached; several keys, such as other strides of the same shapes, may select one program."""


class JitFunction(Bindable):
    """A jitted function, called as the original; ``compilations`` counts the programs that were compiled."""

    deriving = False
    """Whether the results have a history, so that gradients flow through the compiled function."""

    def __init__(
        self, fn: Callable[..., Any], donate: Sequence[int | str], max_cached: int, keep_grads: bool
    ) -> None:
        if not callable(fn):
            raise ArgumentTypeError(mistake("jit", "fn", f"a {type(fn).__name__}", "a function or a module"))
        if isinstance(max_cached, bool) or not isinstance(max_cached, int) or max_cached < 1:
            raise ArgumentError(mistake("jit", "max_cached", max_cached, "a whole number of at least 1"))
        named = not isinstance(fn, Module)
        self.__name__: str = getattr(fn, "__name__", type(fn).__name__) if named else type(fn).__name__
        functools.update_wrapper(self, fn, updated=())
        self.__wrapped__ = fn
        self.max_cached, self.keep_grads = max_cached, keep_grads
        self.compilations = 0
        self._names = _parameter_names(fn)
        self.donate = tuple(_donated_name(self._names, argument) for argument in donate)
        self._programs: list[CompiledProgram] = []  # the most recently used first
        self._known: dict[Any, list[CompiledProgram]] = {}
        self._layouts: dict[Any, tuple[list[CompiledProgram], bool]] = {}
        self._lock = threading.RLock()
        self._method_of = None
        self._attribute = self._home = self.__name__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the program of the call; inside a traced or transformed function, call the original function."""
        if not interpreter_stack()[0].executes or transforming():
            return self.__wrapped__(*args, **kwargs)
        return self._call(args, kwargs, False)

    def with_captures(self, *args: Any, **kwargs: Any) -> tuple[Any, dict[str, Tensor]]:
        """Return the result and, by name, the tensors that ``weft.capture`` marked.

        Calls with captures have programs of their own; calls without captures are not slower.
        """
        found: tuple[Any, dict[str, Tensor]] = self._call(args, kwargs, True)
        return found

    def prepare(self, args: tuple[Any, ...], kwargs: dict[str, Any], capturing: bool = False) -> None:
        """Compile for a call with arguments like these, unless a program fits already; nothing is run."""
        with self._lock:
            self._program_for(args, kwargs, capturing)

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any], capturing: bool) -> Any:
        with self._lock:
            program, inputs, given = self._program_for(args, kwargs, capturing)
            return program.run(inputs, given, lambda: f"{self.__name__} at {call_site()}")

    def _program_for(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], capturing: bool
    ) -> tuple[CompiledProgram, list[Any], list[Any]]:
        """Return the program of a call, the inputs in row-major order, and the inputs as given."""
        inputs: list[Any] = []
        key: list[Any] = [is_enabled(), devices.chosen(), capturing, mode_keys(), default_float()]
        take(args, inputs, key)
        if kwargs:
            take(kwargs, inputs, key)
        found = self._layouts.get(tuple(key))
        programs, plain = self._known_layout(key, inputs) if found is None else found
        given = inputs
        if not plain:
            inputs = [dense(source) for source in inputs]
        for program in programs:
            if program.guards.hold():
                break
        else:
            program = self._fitting(programs, key, args, kwargs, inputs, capturing)
        if program is not self._programs[0]:
            self._programs.remove(program)
            self._programs.insert(0, program)
        return program, inputs, given

    def _known_layout(self, key: list[Any], inputs: list[Any]) -> tuple[list[CompiledProgram], bool]:
        """Cache and return the programs for a key that is new, and whether its tensors are contiguous."""
        tensors = iter([source for source in inputs if isinstance(source, Tensor)])
        layouts = [
            _plain_layout(next(tensors)) << 2 | part & 2 if type(part) is int else part for part in key
        ]
        if len(self._layouts) >= LAYOUTS:
            self._prune()
        programs = self._known.setdefault(tuple(layouts), [])
        found = self._layouts[tuple(key)] = (programs, all(is_dense(source) for source in inputs))
        return found

    def _fitting(
        self,
        programs: list[CompiledProgram],
        key: list[Any],
        args: Any,
        kwargs: Any,
        inputs: list[Any],
        capturing: bool,
    ) -> CompiledProgram:
        """Return a program of this key that adapts to replaced tensors, or compile a new one."""
        reason = ""
        for program in programs:
            found = program.guards.adapt()
            if not found:
                return program
            reason = reason or found
        description = [("gradient mode", str(is_enabled())), ("default device", devices.default_name()[0]),
                       ("captures", str(capturing)), ("autocast", str(mode_keys())),
                       ("default dtype", default_float().name),
                       *describe(self._names, args, kwargs)]  # fmt: skip
        if self._programs and not reason:
            reason = difference(self._programs[0].description, description) or "the default device changed"
        program = self._compile(args, kwargs, inputs, description, capturing)
        self.compilations += 1
        programs.insert(0, program)
        self._programs.insert(0, program)
        nodes = len(program.recorded.nodes)
        if reason:
            LOG.info(
                "%s: recompiled (program %d, %d nodes), because %s",
                self.__name__,
                self.compilations,
                nodes,
                reason,
            )
        else:
            LOG.info("%s: compiled (%d nodes)", self.__name__, nodes)
        if len(self._programs) > self.max_cached:
            self._forget(self._programs.pop(), reason)
        return program

    def _prune(self) -> None:
        """Remove keys without a program."""
        self._known = {key: programs for key, programs in self._known.items() if programs}
        self._layouts.clear()

    def _forget(self, program: CompiledProgram, reason: str) -> None:
        for programs in self._known.values():
            if program in programs:
                programs.remove(program)
        self._prune()
        LOG.warning(
            "%s: has more than max_cached=%d programs, so the least recently used program is removed. It was last "
            "recompiled because %s. Pad arguments to fewer shapes, pass numbers instead of static values, or raise "
            "max_cached",
            self.__name__, self.max_cached, reason,
        )  # fmt: skip

    def _compile(
        self, args: Any, kwargs: Any, inputs: list[Any], description: list[tuple[str, str]], capturing: bool
    ) -> CompiledProgram:
        with rare_collections():
            recording, donated, device = self._record(args, kwargs, inputs, capturing)
            device = device_of(recording.graph, device)
            made: CompiledProgram
            if recording.derived is None:
                made = CompiledProgram(
                    self.__name__, recording, device, inputs, donated, description, capturing
                )
            else:
                made = DerivedProgram(self.__name__, recording, device, inputs, description, capturing)
            made.compile()
        return made

    def _record(self, args: Any, kwargs: Any, inputs: list[Any], capturing: bool) -> Any:
        device = device_of_call(self.__wrapped__, inputs)
        named = [path for path, _ in self._paths(args, kwargs)]
        leaves, _ = flatten((args, kwargs))
        places = [position for position, leaf in enumerate(leaves) if is_input(leaf)]
        donated = frozenset(
            at for at, position in enumerate(places)
            if isinstance(leaves[position], Tensor) and re.split(r"[.[]", named[position])[0] in self.donate
        )  # fmt: skip
        lent = {places[at] for at in donated}

        def enter(tracing: Tracing, position: int, leaf: Any) -> Any:
            if not is_input(leaf):
                return leaf
            if not isinstance(leaf, Tensor):
                kind = number_type(leaf, device)
                number = Number(named[position], number_type(0.0, device))
                return NumberTensor.wrap(tracing.input((), kind, device.name, number=number))
            protected = "" if position in lent else f"the argument {named[position]}"
            value = Tensor.wrap(tracing.input(leaf.shape, leaf.dtype, str(leaf.device), protected))
            return value.requires_grad_(leaf.requires_grad)

        recording = record(
            self.__name__, self.__wrapped__, args, kwargs, enter, self.keep_grads, capturing, self.deriving
        )
        return recording, donated, device

    def _paths(self, args: Any, kwargs: Any) -> Any:
        for position, value in enumerate(args):
            name = self._names[position] if position < len(self._names) else f"argument {position}"
            yield from paths(value, name)
        for name, value in kwargs.items():
            yield from paths(value, name)

    def plan(self, *args: Any, **kwargs: Any) -> CompiledPlan:
        """Return the compiled program of a call as a ``CompiledPlan``, which reports costs and can be saved.

        Nothing is run. A call of the plan reads and writes the function's state, as a call of the function does.
        ``CompiledPlan.save`` writes the plan with its state to a directory; ``weft.compiler.load_plan`` reads it in a
        process that does not have the function.

        >>> import weft as wf
        >>> plan = wf.jit(lambda x: (x * 2).sum()).plan(wf.ones(3, device="cpu"))
        >>> plan(wf.ones(3, device="cpu")), plan.report().dispatches
        (tensor(6.), 1)
        """
        return self._plan(args, kwargs, False)

    def plan_with_captures(self, *args: Any, **kwargs: Any) -> CompiledPlan:
        """Return the plan of a call of ``with_captures``: a call of the plan returns the result and the captures."""
        return self._plan(args, kwargs, True)

    def _plan(self, args: tuple[Any, ...], kwargs: dict[str, Any], capturing: bool) -> CompiledPlan:
        if not interpreter_stack()[0].executes:
            raise UnsupportedError(
                f"{self.__name__}: a plan is made in a traced function, expected a call outside of a trace; make the "
                f"plan before the function is traced"
            )
        with self._lock:
            program, _, _ = self._program_for(args, kwargs, capturing)
        if type(program) is not CompiledProgram:
            raise UnsupportedError(
                f"{self.__name__}: a plan is made of a call whose results have gradients, expected none; call it under "
                f"no_grad(), or make the plan of a jitted step that computes them inside"
            )
        states = state_names(program.guards, self.__wrapped__)
        return plan_of(program, args, kwargs, self._names, states, self._lock)

    def graph(self, *args: Any, **kwargs: Any) -> Graph:
        """Return the traced graph of a call, before all passes; nothing is run."""
        inputs: list[Any] = []
        take(args, inputs, [])
        take(kwargs, inputs, [])
        found: Graph = self._record(args, kwargs, inputs, False)[0].graph
        return found

    def clear_cache(self) -> None:
        """Remove all compiled programs."""
        with self._lock:
            self._programs.clear()
            self._known.clear()
            self._layouts.clear()

    def _options(self) -> tuple[Any, ...]:
        return self.donate, self.max_cached, self.keep_grads

    def __repr__(self) -> str:
        return f"<jitted {self.__name__}: {len(self._programs)} programs>"


def _parameter_names(fn: Callable[..., Any]) -> list[str]:
    target = fn.forward if isinstance(fn, Module) else fn
    try:
        parameters = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):
        return []
    return [
        parameter.name
        for parameter in parameters
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]


def _donated_name(names: Sequence[str], given: int | str) -> str:
    """Return the name of a donated argument that is given by name or position."""
    if isinstance(given, str) and (given in names or not names):
        return given
    if isinstance(given, int) and not isinstance(given, bool) and 0 <= given < len(names):
        return names[given]
    raise ArgumentError(
        mistake("jit", "donate", repr(given), f"the name or position of an argument ({', '.join(names)})")
    )


def _plain_layout(tensor: Tensor) -> int:
    data: Array = tensor._data
    size = math.prod(data.shape) * data.device.itemsize(data.dtype)
    return layout_key(data.dtype, data.shape, contiguous_strides(data.shape), 0, data.device, size)


def jit(
    fn: Callable[..., Any] | None = None,
    *,
    donate: Sequence[int | str] = (),
    max_cached: int = 8,
    keep_grads: bool = False,
) -> Any:
    """Compile a function, a method or a module: trace it once for each signature of its arguments, then replay.

    Arguments and results are trees (tuples, lists, dicts, dataclasses). Tensors and Python numbers are inputs of the
    compiled program. bool, str, None, enums and modules are compiled in as constants: another value recompiles. Tensors
    that the function reaches otherwise (parameters, buffers, optimizer state, random counters) are its state, which
    the program reads and writes as the function would. Other Python values that the function reads are compiled in, and
    guards check them at each call. Results have no history: compute gradients inside of the function. The logger
    ``weft.compiler`` reports each recompilation and its reason.

    Args:
        fn: the function, method or module; without it, ``jit`` returns a decorator.
        donate: arguments, by position or name, whose memory the results may reuse; the caller cannot use them
            afterwards.
        max_cached: how many programs are kept, the most recently used.
        keep_grads: keep a ``grad`` that the function creates. By default a ``grad`` that was None before the call is
            None after it.

    Raises:
        UnsupportedError: the function reads the value of a traced tensor, keeps a traced tensor after the call, or
            writes an argument in place.

    >>> import weft as wf
    >>> model = wf.nn.Linear(2, 1)
    >>> optimizer = wf.optim.SGD(model.parameters(), lr=0.1)
    >>> @wf.jit
    ... def step(x, y):
    ...     loss = wf.nn.functional.mse_loss(model(x), y)
    ...     optimizer.zero_grad()
    ...     loss.backward()
    ...     optimizer.step()
    ...     return loss
    >>> losses = [step(wf.ones(4, 2), wf.zeros(4, 1)) for _ in range(3)]
    >>> bool(losses[2] < losses[0]), step.compilations
    (True, 1)
    """
    given = (donate,) if isinstance(donate, int | str) else tuple(donate)
    if fn is None:
        return lambda function: JitFunction(function, given, max_cached, keep_grads)
    return JitFunction(fn, given, max_cached, keep_grads)


attach(jit)
