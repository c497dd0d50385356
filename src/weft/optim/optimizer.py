"""``Optimizer``: parameter groups, state, and the frame of a step; subclasses name their state and bind their op.

State is allocated at construction and laid out beside its parameters, so that a step is one kernel per group. A step
whose device call fails leaves all parameters, state and counters as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from weft.autograd import enable_grad, no_grad
from weft.errors import (
    ArgumentError,
    ArgumentTypeError,
    DeviceError,
    UnsupportedError,
    mistake,
)
from weft.ops import OPS, bind
from weft.ops.registry.interpreters import executing, together
from weft.ops.registry.kinds import argument_class
from weft.ops.registry.lazy_fronts import Checked
from weft.optim.groups import Cohort, ParamGroup, option_of
from weft.optim.state import load_state, pack_state
from weft.tensors.arena import colocate, limit_bindings, scalar
from weft.tensors.creation import full_like
from weft.tensors.tensor import Tensor
from weft.tensors.watch import Retrace, tracing, watcher

Params = Iterable[Any]
"""Tensors, (name, tensor) pairs, or dicts of options with such under ``"params"``."""


@argument_class("an Optimizer")
class Optimizer(Checked):
    """The base of all optimizers.

    ``params``: an iterable of leaf tensors, of (name, tensor) pairs, or of dicts with their own options. Raises
    ``ArgumentError`` for an empty list, a computed tensor or a parameter given twice, ``ArgumentTypeError`` for
    something else than tensors.
    """

    buffers: ClassVar[tuple[str, ...]] = ()
    """Names of the tensors kept for each parameter, in the order of the op's operands."""
    counted: ClassVar[tuple[str, ...]] = ()
    """Names of the numbers that change with the steps besides their count: one each for all members of a cohort."""
    scheduled: ClassVar[Mapping[str, Callable[[Any], Any]]] = {}
    """Options that schedules change and the update takes as numbers; each with what of it is built into a step."""

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor) or not isinstance(params, Iterable):
            raise ArgumentTypeError(
                mistake(self._name, "params", f"a {type(params).__name__}", "an iterable of tensors or dicts",
                        "pass [tensor] or module.parameters()")
            )  # fmt: skip
        self.defaults = defaults
        self.revision = 0
        self.param_groups: list[ParamGroup] = []
        self.state: dict[Tensor, dict[str, Tensor]] = {}
        given = list(params)
        if not given:
            raise ArgumentError(mistake(self._name, "params", "an empty list", "at least one parameter"))
        for group in given if isinstance(given[0], Mapping) else [{"params": given}]:
            self.add_param_group(group)

    @property
    def _name(self) -> str:
        return type(self).__name__

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Add parameters with options of their own; options that are not given come from ``defaults``."""
        if not isinstance(param_group, Mapping):
            raise ArgumentTypeError(mistake(self._name, "param_group", type(param_group).__name__, "a dict"))
        if "params" not in param_group:
            raise ArgumentError(
                mistake(self._name, "param_group", sorted(param_group), "a dict with 'params'")
            )
        unknown = sorted(set(param_group) - {"params", "param_names", "initial_lr"} - set(self.defaults))
        if unknown:
            raise ArgumentError(
                mistake(self._name, "param_group's options", unknown, f"of {sorted(self.defaults)}")
            )
        given = param_group["params"]
        if isinstance(given, set | frozenset):
            raise ArgumentTypeError(
                mistake(self._name, "params", "a set", "an ordered collection such as a list")
            )
        listed = [given] if isinstance(given, Tensor) else list(given)
        options = {key: option_of(type(self), key, value) for key, value in param_group.items()}
        options["params"] = self._parameters(listed)
        names = [entry[0] for entry in listed if isinstance(entry, tuple) and len(entry) == 2]
        if names:
            options["param_names"] = names
        group = ParamGroup({**self.defaults, **options})
        self._check(group)
        group.kind = type(self)
        state = self._allocate(group)
        self.state.update(state)
        self.param_groups.append(group)
        self.revision += 1

    def _buffers(self, group: ParamGroup) -> tuple[str, ...]:
        """The names of ``buffers`` that a group's options need."""
        return self.buffers

    def _initial(self, group: ParamGroup, name: str) -> float:
        """The number that a state tensor, or a number of ``counted``, starts with."""
        return 0.0

    def _require_state(
        self, group: ParamGroup, operands: Sequence[Tensor], targets: tuple[Tensor, ...]
    ) -> None:
        """``ArgumentError`` where the group's options ask for other state than it was built with."""
        names, kept = self._buffers(group), len(targets) // (len(operands) - len(targets)) - 1
        if len(names) != kept:
            raise ArgumentError(
                mistake(f"{self._name}.step", "the group's options", f"such that {len(names)} tensors are kept",
                        f"{kept}, as when it was built", "set the options when building the optimizer")
            )  # fmt: skip

    def _check(self, group: ParamGroup) -> None:
        """Raise for options that a subclass cannot take."""

    def _parameters(self, listed: Sequence[Any]) -> list[Tensor]:
        found: list[Tensor] = []
        known = {id(parameter) for parameter in self.state}
        for position, entry in enumerate(listed):
            parameter = entry[1] if isinstance(entry, tuple) and len(entry) == 2 else entry
            where = f"params[{position}]"
            if not isinstance(parameter, Tensor):
                raise ArgumentTypeError(
                    mistake(self._name, where, f"a {type(parameter).__name__}", "a tensor")
                )
            if not parameter.is_leaf:
                raise ArgumentError(
                    mistake(self._name, where, f"a computed tensor {tuple(parameter.shape)}", "a leaf",
                            "optimize the tensors that it is computed from, or detach() it")
                )  # fmt: skip
            if parameter.dtype.kind != "float":
                raise ArgumentError(
                    mistake(self._name, f"{where}'s dtype", parameter.dtype.name, "a floating point type")
                )
            if id(parameter) in known:
                raise ArgumentError(
                    mistake(self._name, where, "a parameter that was given before", "each parameter once")
                )
            known.add(id(parameter))
            found.append(parameter)
        if not found:
            raise ArgumentError(mistake(self._name, "params", "an empty list", "at least one parameter"))
        return found

    def _allocate(self, group: ParamGroup) -> dict[Tensor, dict[str, Tensor]]:
        """State for a group's parameters, laid out beside them; the group gets its cohorts."""
        by_device: dict[str, list[Tensor]] = {}
        for parameter in group["params"]:
            by_device.setdefault(str(parameter.device), []).append(parameter)
        state: dict[Tensor, dict[str, Tensor]] = {}
        for device, members in by_device.items():
            numbers = {name: scalar(self._initial(group, name), device) for name in self.counted}
            cohort = Cohort(device, members, scalar(0.0, device), numbers=numbers)
            for parameter in members:
                state[parameter] = {
                    name: full_like(parameter, self._initial(group, name)) for name in self._buffers(group)
                }
            _place(group, cohort, state)
            group.cohorts.append(cohort)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over what was copied or pickled; parameters and state come to lie side by side again."""
        self.__dict__.update(state)
        for group in self.param_groups:
            for cohort in group.cohorts:
                _place(group, cohort, self.state)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or fill them with 0 where ``set_to_none`` is False."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                if set_to_none:
                    parameter.grad = None
                else:
                    parameter.grad = parameter.grad.detach().zero_()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters that have a gradient; gives what ``closure``, which computes them anew, returns.

        All groups are updated or, where something fails, none: only a device that is lost stops half-way.
        """
        loss = None
        watch = watcher.get()
        if watch is not None:
            for owner in (self, *self.param_groups):
                watch.depends(owner)
        if closure is not None:
            with enable_grad():
                loss = closure()
        with no_grad():
            ready: list[tuple[ParamGroup, Cohort, list[Tensor], tuple[Tensor, ...]]] = []
            for group in self.param_groups:
                for cohort in list(group.cohorts):
                    active = [parameter for parameter in cohort.members if parameter.grad is not None]
                    if active:
                        taking = self._split(group, cohort, active)
                        ready.append((group, taking, *self._gathered(group, taking)))
            with together():
                for group, cohort, operands, targets in ready:
                    if self._counts(group, cohort):
                        bind(OPS["add"], cohort.step, 1.0, into=(cohort.step,))
                    self._take(group, cohort, operands, targets)
            for _, cohort, *_ in ready:
                cohort.started = cohort.started or not tracing()
        return loss

    def _split(self, group: ParamGroup, cohort: Cohort, active: list[Tensor]) -> Cohort:
        """The cohort of those that take this step; those without a gradient stay behind with their count."""
        if len(active) == len(cohort.members):
            return cohort
        if not tracing():
            return self._apart(group, cohort, active)
        with executing():  # the counts of both parts are those before the trace, which starts again with them
            self._apart(group, cohort, active)
        raise Retrace

    def _apart(self, group: ParamGroup, cohort: Cohort, active: list[Tensor]) -> Cohort:
        moving = {id(parameter) for parameter in active}
        step = cohort.step.clone()
        numbers = {name: value.clone() for name, value in cohort.numbers.items()}
        split = Cohort(cohort.device, active, step, cohort.started, numbers)
        cohort.members = [parameter for parameter in cohort.members if id(parameter) not in moving]
        group.cohorts.append(split)
        group.revision += 1
        return split

    def _gathered(self, group: ParamGroup, cohort: Cohort) -> tuple[list[Tensor], tuple[Tensor, ...]]:
        """The operands and targets of a cohort's update, brought together where a kernel could not bind them all."""
        operands: list[Tensor] = []
        targets: list[Tensor] = []
        gradients: list[Tensor] = []
        for parameter in cohort.members:
            gradient = parameter.grad
            assert gradient is not None
            if gradient.device != cohort.device or parameter.device != cohort.device:
                raise self._misplaced(parameter, gradient, cohort)
            kept = self.state[parameter].values()
            gradients.append(gradient)
            operands += [parameter, gradient, *kept]
            targets += [parameter, *kept]
        limit_bindings([group.rate(cohort.device), *cohort.counters.values(), *targets], gradients)
        return operands, tuple(targets)

    def _misplaced(self, parameter: Tensor, gradient: Tensor, cohort: Cohort) -> DeviceError:
        where = f"{self._name}.step"
        if parameter.device == cohort.device:
            return DeviceError(mistake(where, "a gradient", f"on {gradient.device}", f"on {cohort.device}"))
        return DeviceError(
            mistake(where, "a parameter", f"on {parameter.device}", f"on {cohort.device}, as its state",
                    "move the module before the optimizer is built")
        )  # fmt: skip

    def _counts(self, group: ParamGroup, cohort: Cohort) -> bool:
        """Whether the update depends on the number of this step."""
        return True

    def _take(
        self, group: ParamGroup, cohort: Cohort, operands: Sequence[Tensor], targets: tuple[Tensor, ...]
    ) -> None:
        """Bind what a cohort's step is made of: the update, and in subclasses that of ``cohort.numbers``."""
        self._update(group, group.rate(cohort.device), cohort.step, operands, targets)

    def _update(
        self,
        group: ParamGroup,
        rate: Tensor,
        step: Tensor,
        operands: Sequence[Tensor],
        targets: tuple[Tensor, ...],
    ) -> None:
        """Bind the op; ``operands``: each parameter, its gradient and state in turn, ``targets``: what is rewritten."""
        raise UnsupportedError(
            f"{self._name}: _update is not defined, expected a subclass such as SGD or Adam"
        )

    def state_dict(self) -> dict[str, Any]:
        """State and options in PyTorch's layout: parameters by number, tensors that go on changing with the steps."""
        return pack_state(self.param_groups, self._saved)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over the state and options of ``state_dict()``, this optimizer's or PyTorch's; nothing on a mistake."""
        load_state(self._name, state_dict, self.param_groups, self.state, self._check, self._initial)

    def _saved(self, group: ParamGroup, cohort: Cohort, parameter: Tensor) -> dict[str, Any]:
        """What ``state_dict`` holds of a parameter."""
        return {**cohort.counters, **self.state[parameter]}

    def __repr__(self) -> str:
        lines = [f"{self._name} ("]
        for position, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {position}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])


def _place(group: ParamGroup, cohort: Cohort, state: Mapping[Tensor, Mapping[str, Tensor]]) -> None:
    """Lay a cohort's parameters, their state and its numbers side by side."""
    kept = [tensor for parameter in cohort.members for tensor in state[parameter].values()]
    colocate([*cohort.members, *kept, group.rate(cohort.device), *cohort.counters.values()])


def refuse_differentiable(name: str, given: bool) -> None:
    """``UnsupportedError`` for a step that should itself be recorded."""
    if given:
        raise UnsupportedError(
            mistake(name, "differentiable", True, "False", "steps write in place and are not recorded")
        )
