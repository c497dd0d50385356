"""``jit``: a function that is traced once for each kind of arguments, compiled, and replayed.

A call's arguments become a key (``signature``), the key finds programs (``program``), and of these the first whose
guards hold runs. Where none does, the function is traced anew, with the reason in the log.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import logging
import re
import sys
import threading
from collections.abc import Callable, Sequence
from copy import deepcopy
from types import FunctionType, MethodType
from typing import Any

from weft import devices
from weft.autograd.mode import is_enabled
from weft.compiler.collecting import rare_collections
from weft.compiler.derived import DerivedProgram
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

_BOUND = "_weft_jit_"
"""In front of a method's name: under which key an instance keeps its jitted function."""

LAYOUTS = 256
"""Kinds of calls that are remembered beyond their programs: other strides of the same shapes, say."""


class JitFunction:
    """What ``jit`` gives: call it as the function. ``compilations`` counts the programs that were made."""

    deriving = False
    """Whether gradients flow through the results, into what the function took."""

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
        self._programs: list[CompiledProgram] = []  # the one used last in front
        self._known: dict[Any, list[CompiledProgram]] = {}
        self._layouts: dict[Any, tuple[list[CompiledProgram], bool]] = {}
        self._lock = threading.RLock()
        self._method_of: JitFunction | None = None
        self._attribute = self._home = self.__name__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The function's result; inside another traced function, or a transformed one, it is part of that."""
        if not interpreter_stack()[0].executes or transforming():
            return self.__wrapped__(*args, **kwargs)
        return self._call(args, kwargs, False)

    def with_captures(self, *args: Any, **kwargs: Any) -> tuple[Any, dict[str, Tensor]]:
        """The result, and by name the tensors that ``weft.capture`` marked on the way.

        It is compiled apart from the calls without captures, which pay nothing for them.
        """
        found: tuple[Any, dict[str, Tensor]] = self._call(args, kwargs, True)
        return found

    def prepare(self, args: tuple[Any, ...], kwargs: dict[str, Any], capturing: bool = False) -> None:
        """Compile for a call with arguments like these, where no program fits it yet; nothing is run."""
        with self._lock:
            self._program_for(args, kwargs, capturing)

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any], capturing: bool) -> Any:
        with self._lock:
            program, inputs, given = self._program_for(args, kwargs, capturing)
            return program.run(inputs, given, lambda: f"{self.__name__} at {call_site()}")

    def _program_for(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], capturing: bool
    ) -> tuple[CompiledProgram, list[Any], list[Any]]:
        """The program of a call, its inputs as the program takes them, and as they were given."""
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
        """The programs for a call of a new layout, and whether its tensors are contiguous."""
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
        """A program of this key after taking over replaced tensors, or a new one."""
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
            reason = difference(self._programs[0].description, description) or "the default device is another"
        program = self._compile(args, kwargs, inputs, description, capturing)
        self.compilations += 1
        programs.insert(0, program)
        self._programs.insert(0, program)
        nodes = len(program.recorded.nodes)
        if reason:
            LOG.info(
                "%s: compiled again (program %d, %d nodes): %s",
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
        """Let go of kinds of calls without a program."""
        self._known = {key: programs for key, programs in self._known.items() if programs}
        self._layouts.clear()

    def _forget(self, program: CompiledProgram, reason: str) -> None:
        for programs in self._known.values():
            if program in programs:
                programs.remove(program)
        self._prune()
        LOG.warning(
            "%s: more than max_cached=%d programs; the one used longest ago is dropped. The last reason to compile: "
            "%s. Pad arguments to fewer shapes, pass numbers instead of static values, or raise max_cached",
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
        """The compiled program of a call by itself, which reports what it does and can be saved; nothing is run.

        It works on the state that the function reaches, as calls of the function do. ``CompiledPlan.save`` writes it
        with its state to a directory, from which ``weft.compiler.load_plan`` reads it where there is no such function.

        >>> import weft as wf
        >>> plan = wf.jit(lambda x: (x * 2).sum()).plan(wf.ones(3, device="cpu"))
        >>> plan(wf.ones(3, device="cpu")), plan.report().dispatches
        (tensor(6.), 1)
        """
        return self._plan(args, kwargs, False)

    def plan_with_captures(self, *args: Any, **kwargs: Any) -> CompiledPlan:
        """The same for ``with_captures``: a call of the plan gives the result and the captures."""
        return self._plan(args, kwargs, True)

    def _plan(self, args: tuple[Any, ...], kwargs: dict[str, Any], capturing: bool) -> CompiledPlan:
        if not interpreter_stack()[0].executes:
            raise UnsupportedError(f"{self.__name__}: a plan is made in a traced function, expected outside")
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
        """The graph of a call, as traced; nothing is run."""
        inputs: list[Any] = []
        take(args, inputs, [])
        take(kwargs, inputs, [])
        found: Graph = self._record(args, kwargs, inputs, False)[0].graph
        return found

    def clear_cache(self) -> None:
        """Forget all compiled programs."""
        with self._lock:
            self._programs.clear()
            self._known.clear()
            self._layouts.clear()

    def __get__(self, instance: Any, owner: type | None = None) -> JitFunction:
        """As a method: a jitted function for each instance, which is kept in the instance and goes with it."""
        if instance is None:
            return self
        kept = getattr(instance, "__dict__", None)
        if kept is None:
            raise UnsupportedError(
                mistake("jit", f"the method {self.__name__}", f"of a {type(instance).__name__} without __dict__",
                        "an object that can keep its compiled programs",
                        "add '__dict__' to __slots__, or jit a function that takes the object's tensors")
            )  # fmt: skip
        key = f"{_BOUND}{self._home}"
        found: JitFunction | None = kept.get(key)
        if found is None:
            found = self._alike(self.__wrapped__.__get__(instance, owner))
            found._method_of, found._attribute = self, self._attribute
            kept[key] = found
        return found

    def __set_name__(self, owner: type, name: str) -> None:
        self._attribute, self._home = name, f"{owner.__qualname__}.{name}"

    def __deepcopy__(self, memo: dict[int, Any]) -> JitFunction:
        """The copy has no programs. A method is the method of its object's copy, a module's the copy's."""
        fn: Any = self.__wrapped__
        if self._method_of is not None:
            return self._method_of.__get__(deepcopy(fn.__self__, memo))
        if isinstance(fn, MethodType):
            return self._alike(MethodType(fn.__func__, deepcopy(fn.__self__, memo)))
        return self._alike(deepcopy(fn, memo) if isinstance(fn, Module) else fn)

    def __reduce__(self) -> tuple[Any, ...]:
        """By reference to the function, as functions are pickled; programs are compiled anew."""
        fn: Any = self.__wrapped__
        if self._method_of is not None:
            return getattr, (fn.__self__, self._attribute)
        return self._reduced(fn)

    def _reduced(self, fn: Callable[..., Any]) -> tuple[Any, ...]:
        module, name = getattr(fn, "__module__", None), getattr(fn, "__qualname__", "")
        if isinstance(fn, FunctionType):
            found = _named(module, name)
            if found is self:  # decorated: the name stands for the jitted function
                return _named, (module, name)
            if found is not fn:
                raise UnsupportedError(
                    mistake("pickle", "a jitted function", f"of {name}, which cannot be found by its name",
                            "a function that a module names", "define it at the top of a module")
                )  # fmt: skip
        return self._made_again, (fn, *self._options())

    @staticmethod
    def _made_again(*options: Any) -> JitFunction:
        return JitFunction(*options)

    def _options(self) -> tuple[Any, ...]:
        return self.donate, self.max_cached, self.keep_grads

    def _alike(self, fn: Callable[..., Any]) -> JitFunction:
        """Another function with the same options."""
        return JitFunction(fn, self.donate, self.max_cached, self.keep_grads)

    def __repr__(self) -> str:
        return f"<jitted {self.__name__}: {len(self._programs)} programs>"


def _named(module: str | None, name: str) -> Any:
    """What a module calls by a name; ``None`` where it has no such name."""
    found: Any = sys.modules.get(module or "") or (importlib.import_module(module) if module else None)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


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
    """The name of a donated argument, which may be given by position."""
    if isinstance(given, str) and (given in names or not names):
        return given
    if isinstance(given, int) and not isinstance(given, bool) and 0 <= given < len(names):
        return names[given]
    raise ArgumentError(
        mistake("jit", "donate", repr(given), f"the name or position of an argument ({', '.join(names)})")
    )


def _plain_layout(tensor: Tensor) -> int:
    data: Array = tensor._data
    return layout_key(
        data.dtype, data.shape, contiguous_strides(data.shape), 0, data.device, data.storage.size
    )


def jit(
    fn: Callable[..., Any] | None = None,
    *,
    donate: Sequence[int | str] = (),
    max_cached: int = 8,
    keep_grads: bool = False,
) -> Any:
    """Compile a function, a method or a module: traced once for each kind of arguments, then replayed.

    Arguments and results are trees (tuples, lists, dicts, dataclasses). Tensors and Python numbers are given to the
    compiled program; bool, str, None, enums and modules are built in, and another one compiles anew. Tensors that the
    function reaches otherwise (parameters, buffers, optimizer state, random counters) are its state: read and written
    as by the function itself. What else it reads of Python is taken as it is when traced. Results have no history:
    compute gradients inside. Those put into ``grad`` are dropped where there was none before, unless ``keep_grads``.

    ``donate``: arguments, by position or name, whose memory results may take over; they cannot be used afterwards.
    ``max_cached``: programs kept, those used last. Recompilations go to the logger ``weft.compiler`` with the reason.
    Raises ``UnsupportedError`` where the function reads a traced tensor's value, keeps one, or writes an argument.

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
