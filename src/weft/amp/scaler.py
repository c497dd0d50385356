"""``GradScaler``: scales the loss so that small gradients do not underflow, and skips steps with overflowed gradients.

Scale and counters are tensors, so that a whole step may be compiled. A compiled step computes the optimizer's step, and
restores the old values where a gradient was not finite; the host does not read the device.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from weft import devices, dtypes
from weft.amp.autocast import ABSENT, off_without
from weft.autograd import no_grad
from weft.dtypes import DType
from weft.errors import ArgumentError, ArgumentTypeError, UnsupportedError, mistake
from weft.ops import OPS, bind, interpreter_stack
from weft.ops.registry.interpreters import atomic_writes, executing
from weft.optim.groups import number
from weft.optim.optimizer import Optimizer
from weft.tensors.arena import limit_bindings
from weft.tensors.eager import EAGER
from weft.tensors.tensor import Tensor, tensor
from weft.tensors.watch import Retrace, refuse_tracing, tracing, watcher

READY, UNSCALED, STEPPED = range(3)


class Progress:
    """The stage of an optimizer since the last update, in eager code and in each trace, and its overflow flag.

    ``overflow`` is a 0-d tensor, above 0 where a gradient was not finite.
    """

    def __init__(self, overflow: Tensor) -> None:
        self.overflow = overflow
        self._stages: WeakKeyDictionary[Any, int] = WeakKeyDictionary({EAGER: READY})

    @property
    def revision(self) -> int:
        """The stage in eager code, which a compiled step depends on."""
        return self._stages[EAGER]

    @property
    def stage(self) -> int:
        """The stage in the current trace, initially the stage in eager code; outside of traces the latter."""
        return self._stages.get(_bottom(), self.revision)

    @stage.setter
    def stage(self, value: int) -> None:
        self._stages[_bottom()] = value


def _bottom() -> Any:
    stack = interpreter_stack()
    return EAGER if stack[0].executes else stack[0]


class GradScaler:
    """Scales the loss, unscales the gradients before a step, and skips the step where a gradient is not finite.

    As ``torch.amp.GradScaler``: a skipped step multiplies the scale by ``backoff_factor``, and ``growth_interval``
    steps without a skip multiply it by ``growth_factor``. Scale and counters are on ``device``, by default the default
    device. Without a GPU a scaler without ``device``, or with ``"cuda"``, warns and has no effect, as PyTorch's: on
    ``cpu`` autocast computes in bfloat16, whose range needs no scaling. A step with ``scale``, ``step`` and ``update``
    may be compiled by ``weft.jit``.

    >>> import weft as wf
    >>> w = wf.ones(2, device="cpu", requires_grad=True)
    >>> optimizer, scaler = wf.optim.SGD([w], lr=0.5), wf.amp.GradScaler("cpu", init_scale=4.0)
    >>> for x in (1.0, float("inf")):
    ...     optimizer.zero_grad()
    ...     scaler.scale((w * x).sum()).backward()
    ...     scaler.step(optimizer)
    ...     scaler.update()
    >>> w.tolist(), scaler.get_scale()
    ([0.5, 0.5], 2.0)
    """

    def __init__(
        self,
        device: str | None = None,
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        if device is None and devices.default_name()[0] == "cpu":
            enabled = off_without("GradScaler", "the default device is no GPU", enabled)
        elif device in ABSENT:
            enabled = off_without("GradScaler", f"there is no device {device!r} in weft", enabled)
        self._enabled = bool(enabled)
        self.revision = 0
        self._progress: WeakKeyDictionary[Optimizer, Progress] = WeakKeyDictionary()
        self._growth, self._backoff, self._interval = 2.0, 0.5, 2000
        if not self._enabled:
            return
        self.set_growth_factor(growth_factor)
        self.set_backoff_factor(backoff_factor)
        self.set_growth_interval(growth_interval)
        self.device = (devices.default() if device is None else devices.open(device)).name
        start = number("GradScaler", "init_scale", init_scale)
        if not start:
            raise ArgumentError(mistake("GradScaler", "init_scale", init_scale, "above 0"))
        self._scale = tensor(start, dtype=dtypes.float32, device=self.device)
        self._tracker = tensor(0, dtype=dtypes.int32, device=self.device)

    def __getstate__(self) -> dict[str, Any]:
        """Copy and pickle all attributes but the stages of optimizers, which are initial after ``update()``."""
        if any(progress.revision != READY for progress in self._progress.values()):
            raise UnsupportedError(
                "GradScaler: is copied or pickled between unscale_() or step() and update(), expected after update()"
            )
        return {key: value for key, value in self.__dict__.items() if key != "_progress"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._progress = WeakKeyDictionary()

    def is_enabled(self) -> bool:
        """Return whether the scaler has an effect."""
        return self._enabled

    def scale(self, outputs: Any) -> Any:
        """Multiply a tensor, or each of an iterable of tensors, by the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            if tracing() and str(outputs.device) != self.device:
                self._follow(str(outputs.device))
            scale = self._scale if str(outputs.device) == self.device else self._scale.to(str(outputs.device))
            return outputs * scale
        if isinstance(outputs, list | tuple):
            return type(outputs)(self.scale(output) for output in outputs)
        if isinstance(outputs, Iterable):
            return map(self.scale, outputs)
        raise ArgumentTypeError(
            mistake("GradScaler.scale", "outputs", f"a {type(outputs).__name__}", "a tensor or several")
        )

    def _follow(self, device: str) -> None:
        """Move to the device of a traced model, since a program runs on one device, and start the trace again."""
        with executing(), no_grad():
            self._scale, self._tracker = self._scale.to(device), self._tracker.to(device)
            self._progress = WeakKeyDictionary()
        self.device = device
        raise Retrace

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the gradients of an optimizer's parameters by the scale, so that they can be clipped or inspected.

        Otherwise ``step`` divides them. Raises ``UnsupportedError`` for a second call before ``update``, and for
        float16 gradients.
        """
        if not self._enabled:
            return
        progress = self._of(optimizer)
        if progress.stage != READY:
            done = "unscale_() was called" if progress.stage == UNSCALED else "step() was called"
            raise UnsupportedError(
                f"unscale_: {done} on this optimizer since the last update(), expected once"
            )
        groups = _gradients(optimizer)
        if not groups:
            raise UnsupportedError(
                "unscale_: no parameter of the optimizer has a gradient; call backward() first"
            )
        with no_grad():
            inverse = self._scale.reciprocal()
            flags = []
            for group in groups.values():
                limit_bindings([inverse], group)
                flags.append(bind(OPS["any_non_finite"], *group).to(self.device))
            overflow = flags[0]
            for flag in flags[1:]:
                overflow = overflow.maximum(flag)
            scales = {device: inverse.to(device) for device, _ in groups}
            with atomic_writes():
                for (device, _), group in groups.items():
                    bind(OPS["scale_all"], scales[device], *group, into=tuple(group))
            progress.overflow.copy_(overflow)
        progress.stage = UNSCALED

    def step(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
        """Call ``optimizer.step(**kwargs)`` on unscaled gradients unless one is not finite; return its result."""
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if args or "closure" in kwargs:
            raise UnsupportedError("GradScaler.step: a closure is given, expected none; call it before")
        progress = self._of(optimizer)
        if progress.stage == STEPPED:
            raise UnsupportedError(
                "GradScaler.step: step() was called on this optimizer since the last update(), expected once"
            )
        if progress.stage == READY:
            self.unscale_(optimizer)
        result = None
        if tracing():
            result = _step_where_finite(optimizer, progress.overflow, kwargs)
        elif not progress.overflow.item():
            result = optimizer.step(**kwargs)
        progress.stage = STEPPED
        return result

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Update the scale after the steps of an iteration, or set it to ``new_scale``; call it once an iteration."""
        if not self._enabled:
            return
        self._watch_factors()
        with no_grad():
            if new_scale is not None:
                self._set(new_scale)
            else:
                self._adapt()
            for progress in self._progress.values():
                progress.overflow.zero_()
        for progress in self._progress.values():
            progress.stage = READY

    def _set(self, new_scale: Any) -> None:
        if isinstance(new_scale, Tensor):
            if new_scale.numel() != 1 or new_scale.requires_grad:
                raise ArgumentError(
                    mistake("GradScaler.update", "new_scale", f"a tensor {tuple(new_scale.shape)}",
                            "a number, or a tensor of one element without requires_grad")
                )  # fmt: skip
            self._scale.copy_(new_scale.reshape(1)[0])
        else:
            self._scale.fill_(number("GradScaler.update", "new_scale", new_scale))

    def _adapt(self) -> None:
        """Back off after an overflow, and grow after an interval without one."""
        flags = [progress.overflow for progress in self._progress.values()]
        if not flags:
            raise UnsupportedError(
                "GradScaler.update: no step was taken, expected a step before; call step() first"
            )
        overflowed = sum(flags[1:], flags[0]) > 0
        steps = self._tracker + 1
        grown = self._scale * self._growth
        due = steps >= self._interval
        where = OPS["where"]
        larger = bind(where, due.logical_and(grown.isfinite()), grown, self._scale)
        scale = bind(where, overflowed, self._scale * self._backoff, larger)
        tracker = bind(where, due.logical_or(overflowed), 0, steps)
        self._scale.copy_(scale)
        self._tracker.copy_(tracker)

    def _of(self, optimizer: Optimizer) -> Progress:
        """Return the progress of an optimizer; its tensors are created outside of traces."""
        self._watch_factors()
        if not isinstance(optimizer, Optimizer):
            raise ArgumentTypeError(
                mistake("GradScaler", "optimizer", f"a {type(optimizer).__name__}", "an Optimizer")
            )
        progress = self._progress.get(optimizer)
        if progress is None:
            with executing():
                overflow = tensor(0.0, dtype=dtypes.float32, device=self.device)
                self._progress[optimizer] = progress = Progress(overflow)
            if tracing():
                raise Retrace
        watch = watcher.get()
        if watch is not None:
            watch.depends(progress)
        return progress

    def _watch_factors(self) -> None:
        """Make a trace depend on the factors."""
        watch = watcher.get()
        if watch is not None:
            watch.depends(self)

    # Options and state.

    def get_scale(self) -> float:
        """Return the scale as a number, which synchronizes with the device; 1 where disabled."""
        return float(self._scale.item()) if self._enabled else 1.0

    def get_growth_factor(self) -> float:
        """Return the factor by which the scale grows."""
        return self._growth

    def set_growth_factor(self, new_factor: float) -> None:
        """Set the factor by which the scale grows, above 1."""
        refuse_tracing("set_growth_factor", "set it before the call")
        if not number("GradScaler", "growth_factor", new_factor) > 1.0:
            raise ArgumentError(mistake("GradScaler", "growth_factor", new_factor, "above 1"))
        self._growth, self.revision = float(new_factor), self.revision + 1

    def get_backoff_factor(self) -> float:
        """Return the factor of the scale after a skipped step."""
        return self._backoff

    def set_backoff_factor(self, new_factor: float) -> None:
        """Set the factor of the scale after a skipped step, below 1."""
        refuse_tracing("set_backoff_factor", "set it before the call")
        self._backoff = number("GradScaler", "backoff_factor", new_factor, high=1.0)
        self.revision += 1

    def get_growth_interval(self) -> int:
        """Return the number of steps without a skip after which the scale grows."""
        return self._interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Set the number of steps without a skip after which the scale grows, at least 1."""
        refuse_tracing("set_growth_interval", "set it before the call")
        if isinstance(new_interval, bool) or not isinstance(new_interval, int) or new_interval < 1:
            raise ArgumentError(
                mistake("GradScaler", "growth_interval", new_interval, "an int of at least 1")
            )
        self._interval, self.revision = new_interval, self.revision + 1

    def state_dict(self) -> dict[str, Any]:
        """Return scale, factors, interval and counter under PyTorch's keys; empty where disabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth,
            "backoff_factor": self._backoff,
            "growth_interval": self._interval,
            "_growth_tracker": int(self._tracker.item()),
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load ``state_dict()``, of weft or of PyTorch."""
        if not self._enabled:
            return
        keys = {"scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker"}
        if not keys <= set(state_dict):
            raise ArgumentError(
                mistake("GradScaler.load_state_dict", "state_dict", f"with {sorted(state_dict)}",
                        f"the keys {sorted(keys)}", "a disabled scaler saves an empty dict")
            )  # fmt: skip
        self.set_growth_factor(state_dict["growth_factor"])
        self.set_backoff_factor(state_dict["backoff_factor"])
        self.set_growth_interval(state_dict["growth_interval"])
        with no_grad():
            self._scale.fill_(number("GradScaler.load_state_dict", "scale", state_dict["scale"]))
            self._tracker.fill_(int(state_dict["_growth_tracker"]))


def _gradients(optimizer: Optimizer) -> dict[tuple[str, DType], list[Tensor]]:
    """Group the gradients of an optimizer's parameters by device and type; ``UnsupportedError`` for float16."""
    groups: dict[tuple[str, DType], list[Tensor]] = {}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is None:
                continue
            grad = parameter.grad.detach()
            if grad.dtype is dtypes.float16:
                raise UnsupportedError(
                    "unscale_: a parameter and its gradient are float16, expected float32 parameters with autocast "
                    "around the forward pass; keep the model in float32"
                )
            groups.setdefault((str(grad.device), grad.dtype), []).append(grad)
    return groups


def _step_where_finite(optimizer: Optimizer, overflow: Tensor, options: dict[str, Any]) -> Any:
    """Trace an optimizer's step, and restore the old values of the updated tensors where a gradient is not finite."""
    with no_grad():
        written = [
            parameter
            for group in optimizer.param_groups
            for parameter in group["params"]
            if parameter.grad is not None
        ]
        written += [state for parameter in written for state in optimizer.state[parameter].values()]
        written += [
            counter
            for group in optimizer.param_groups
            for cohort in group.cohorts
            for counter in cohort.counters.values()
        ]
        before = [bind(OPS["copy"], tensor) for tensor in written]
        result = optimizer.step(**options)
        for tensor, old in zip(written, before, strict=True):
            local = overflow if tensor.device == overflow.device else overflow.to(str(tensor.device))
            bind(OPS["where"], local > 0, old, tensor, into=(tensor,))
    return result
