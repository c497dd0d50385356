"""``Optimizer``: parameter groups, state, and the common part of a step; subclasses name their state and bind their op.

State is allocated at construction beside its parameters, so that a step is one kernel per group. A step whose device
call fails leaves all parameters, state and counters unchanged.
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
from weft.ops.registry.interpreters import atomic_writes, executing
from weft.ops.registry.kinds import argument_class
from weft.ops.registry.lazy_fronts import Checked
from weft.optim.groups import Cohort, ParamGroup, option_of
from weft.optim.state import load_state, pack_state
from weft.tensors.arena import colocate, limit_bindings, scalar
from weft.tensors.creation import full_like
from weft.tensors.tensor import Tensor
from weft.tensors.watch import Retrace, tracing, watcher

Params = Iterable[Any]
"""Tensors, (name, tensor) pairs, or dicts of options with tensors or pairs under ``"params"``."""


@argument_class("an Optimizer")
class Optimizer(Checked):
    """The base of all optimizers.

    ``params`` is an iterable of leaf tensors, of (name, tensor) pairs, or of dicts with options of their own.

    Raises:
        ArgumentError: for an empty list, a computed tensor, or a parameter that is given twice.
        ArgumentTypeError: for values that are not tensors.
    """

    buffers: ClassVar[tuple[str, ...]] = ()
    """Names of the state tensors of each parameter, in the order of the op's operands."""
    counted: ClassVar[tuple[str, ...]] = ()
    """Names of the scalars of a cohort, besides the step counter, that steps change."""
    scheduled: ClassVar[Mapping[str, Callable[[Any], Any]]] = {}
    """Options that schedules change and kernels take as operands, each with the part that a step has as a constant."""

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
        """Return the names of ``buffers`` that a group's options need."""
        return self.buffers

    def _initial(self, group: ParamGroup, name: str) -> float:
        """Return the initial value of a state tensor or of a scalar of ``counted``."""
        return 0.0

    def _require_state(
        self, group: ParamGroup, operands: Sequence[Tensor], targets: tuple[Tensor, ...]
    ) -> None:
        """Raise ``ArgumentError`` where the group's options need other state tensors than it was built with."""
        names, allocated = self._buffers(group), len(targets) // (len(operands) - len(targets)) - 1
        if len(names) != allocated:
            raise ArgumentError(
                mistake(f"{self._name}.step", "the group's options", f"such that {len(names)} tensors are kept",
                        f"{allocated}, as when it was built", "set the options when building the optimizer")
            )  # fmt: skip

    def _check(self, group: ParamGroup) -> None:
        """Raise for options that a subclass does not accept."""

    def _parameters(self, listed: Sequence[Any]) -> list[Tensor]:
        """Return the tensors of a group after checking each."""
        parameters: list[Tensor] = []
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
            parameters.append(parameter)
        if not parameters:
            raise ArgumentError(mistake(self._name, "params", "an empty list", "at least one parameter"))
        return parameters

    def _allocate(self, group: ParamGroup) -> dict[Tensor, dict[str, Tensor]]:
        """Allocate state beside a group's parameters, and create the group's cohorts."""
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
            _colocate(group, cohort, state)
            group.cohorts.append(cohort)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a copy or a pickle, and move parameters and state side by side again."""
        self.__dict__.update(state)
        for group in self.param_groups:
            for cohort in group.cohorts:
                _colocate(group, cohort, self.state)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set the gradients to None, or fill them with 0 where ``set_to_none`` is False."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                if set_to_none:
                    parameter.grad = None
                else:
                    parameter.grad = parameter.grad.detach().zero_()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters that have a gradient.

        ``closure``, if given, is called first to compute the gradients, and its result is returned. Either all groups
        are updated or, after an error, none; only the loss of a device interrupts a step.
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
                        stepping = self._stepping(group, cohort, active)
                        ready.append((group, stepping, *self._operands(group, stepping)))
            with atomic_writes():
                for group, cohort, operands, targets in ready:
                    if self._counts_steps(group, cohort):
                        bind(OPS["add"], cohort.step, 1.0, into=(cohort.step,))
                    self._bind_step(group, cohort, operands, targets)
            for _, cohort, *_ in ready:
                cohort.started = cohort.started or not tracing()
        return loss

    def _stepping(self, group: ParamGroup, cohort: Cohort, active: list[Tensor]) -> Cohort:
        """Return the cohort of the members with a gradient; it is split off where other members have none."""
        if len(active) == len(cohort.members):
            return cohort
        if not tracing():
            return self._split(group, cohort, active)
        with executing():  # the split is no part of the program; the trace starts again after it
            self._split(group, cohort, active)
        raise Retrace

    def _split(self, group: ParamGroup, cohort: Cohort, active: list[Tensor]) -> Cohort:
        """Move the active members to a new cohort with a copy of the counters."""
        moving = {id(parameter) for parameter in active}
        step = cohort.step.clone()
        numbers = {name: value.clone() for name, value in cohort.numbers.items()}
        split = Cohort(cohort.device, active, step, cohort.started, numbers)
        cohort.members = [parameter for parameter in cohort.members if id(parameter) not in moving]
        group.cohorts.append(split)
        group.revision += 1
        return split

    def _operands(self, group: ParamGroup, cohort: Cohort) -> tuple[list[Tensor], tuple[Tensor, ...]]:
        """Return the operands and targets of a cohort's update, in so few buffers that a kernel can bind them."""
        operands: list[Tensor] = []
        targets: list[Tensor] = []
        gradients: list[Tensor] = []
        for parameter in cohort.members:
            gradient = parameter.grad
            assert gradient is not None
            if gradient.device != cohort.device or parameter.device != cohort.device:
                raise self._device_error(parameter, gradient, cohort)
            state = self.state[parameter].values()
            gradients.append(gradient)
            operands += [parameter, gradient, *state]
            targets += [parameter, *state]
        limit_bindings([group.rate(cohort.device), *cohort.counters.values(), *targets], gradients)
        return operands, tuple(targets)

    def _device_error(self, parameter: Tensor, gradient: Tensor, cohort: Cohort) -> DeviceError:
        where = f"{self._name}.step"
        if parameter.device == cohort.device:
            return DeviceError(mistake(where, "a gradient", f"on {gradient.device}", f"on {cohort.device}"))
        return DeviceError(
            mistake(where, "a parameter", f"on {parameter.device}", f"on {cohort.device}, as its state",
                    "move the module before the optimizer is built")
        )  # fmt: skip

    def _counts_steps(self, group: ParamGroup, cohort: Cohort) -> bool:
        """Return whether the update depends on the step counter, so that it is increased."""
        return True

    def _bind_step(
        self, group: ParamGroup, cohort: Cohort, operands: Sequence[Tensor], targets: tuple[Tensor, ...]
    ) -> None:
        """Bind the ops of a cohort's step: the update, and in subclasses the update of ``cohort.numbers``."""
        self._update(group, group.rate(cohort.device), cohort.step, operands, targets)

    def _update(
        self,
        group: ParamGroup,
        rate: Tensor,
        step: Tensor,
        operands: Sequence[Tensor],
        targets: tuple[Tensor, ...],
    ) -> None:
        """Bind the op: ``operands`` are each parameter, its gradient and state, ``targets`` the tensors it updates."""
        raise UnsupportedError(
            f"{self._name}: _update is not defined, expected a subclass such as SGD or Adam"
        )

    def state_dict(self) -> dict[str, Any]:
        """Return state and options in PyTorch's layout, parameters by number; later steps change its tensors."""
        return pack_state(self.param_groups, self._saved)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load the state and options of ``state_dict()``, weft's or PyTorch's; an error leaves all unchanged."""
        load_state(self._name, state_dict, self.param_groups, self.state, self._check, self._initial)

    def _saved(self, group: ParamGroup, cohort: Cohort, parameter: Tensor) -> dict[str, Any]:
        """Return the entry of a parameter in ``state_dict``."""
        return {**cohort.counters, **self.state[parameter]}

    def __repr__(self) -> str:
        lines = [f"{self._name} ("]
        for position, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {position}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])


def _colocate(group: ParamGroup, cohort: Cohort, state: Mapping[Tensor, Mapping[str, Tensor]]) -> None:
    """Move a cohort's parameters, their state and its scalars side by side in memory."""
    tensors = [tensor for parameter in cohort.members for tensor in state[parameter].values()]
    colocate([*cohort.members, *tensors, group.rate(cohort.device), *cohort.counters.values()])


def refuse_differentiable(name: str, given: bool) -> None:
    """Raise ``UnsupportedError`` for a step that is to be recorded for gradients."""
    if given:
        raise UnsupportedError(
            mistake(name, "differentiable", True, "False", "steps write in place and are not recorded")
        )
