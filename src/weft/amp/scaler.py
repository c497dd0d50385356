"""``GradScaler``: the loss is scaled so that small gradients survive half precision; steps that overflow are skipped.

Scale and counters are tensors, so a whole step may be compiled: there the optimizer's step is computed, and where a
gradient was not finite, what it wrote is given its old value again. Nothing is read back.
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
from weft.ops.registry.interpreters import executing, together
from weft.optim.groups import number
from weft.optim.optimizer import Optimizer
from weft.tensors.arena import limit_bindings
from weft.tensors.eager import EAGER
from weft.tensors.tensor import Tensor, tensor
from weft.tensors.watch import Retrace, refuse_tracing, tracing, watcher

READY, UNSCALED, STEPPED = range(3)


class Progress:
    """How far an optimizer has come since the last update, in eager code and in each trace, and what was found."""

    def __init__(self, found: Tensor) -> None:
        self.found = found
        self._stages: WeakKeyDictionary[Any, int] = WeakKeyDictionary({EAGER: READY})

    @property
    def revision(self) -> int:
        """The stage in eager code, which a compiled step depends on."""
        return self._stages[EAGER]

    @property
    def stage(self) -> int:
        """The stage in the trace that is made, which starts from that in eager code, or there."""
        return self._stages.get(_bottom(), self.revision)

    @stage.setter
    def stage(self, value: int) -> None:
        self._stages[_bottom()] = value


def _bottom() -> Any:
    stack = interpreter_stack()
    return EAGER if stack[0].executes else stack[0]


class GradScaler:
    """Scales the loss, and unscales the gradients before the step, which it skips where one is not finite.

    As ``torch.amp.GradScaler``: after a skipped step the scale is multiplied by ``backoff_factor``, after
    ``growth_interval`` steps without one by ``growth_factor``. ``device``: where scale and counters lie, the default
    device unless told. Without a GPU a scaler that is told no device, or ``"cuda"``, warns and does nothing, as
    PyTorch's: on ``cpu`` autocast computes in bfloat16, whose range needs no scaling. A step with ``scale``, ``step``
    and ``update`` may be compiled by ``weft.jit``.

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
        """What copies and pickles keep: all but how far optimizers have come, which is nowhere after ``update()``."""
        if any(progress.revision != READY for progress in self._progress.values()):
            raise UnsupportedError(
                "GradScaler: is copied or pickled between unscale_() or step() and update(), expected after update()"
            )
        return {key: value for key, value in self.__dict__.items() if key != "_progress"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._progress = WeakKeyDictionary()

    def is_enabled(self) -> bool:
        """Whether the scaler does anything."""
        return self._enabled

    def scale(self, outputs: Any) -> Any:
        """A tensor, or a list or tuple of them, times the scale."""
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
        """Move to the device of a traced model, which works on one device, and have the function traced again."""
        with executing(), no_grad():
            self._scale, self._tracker = self._scale.to(device), self._tracker.to(device)
            self._progress = WeakKeyDictionary()
        self.device = device
        raise Retrace

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the gradients of an optimizer's parameters by the scale now, to clip or look at them.

        ``step`` does it where it was not done. Once between updates; float16 gradients are an error.
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
            found = []
            for group in groups.values():
                limit_bindings([inverse], group)
                found.append(bind(OPS["any_non_finite"], *group).to(self.device))
            worst = found[0]
            for value in found[1:]:
                worst = worst.maximum(value)
            scales = {device: inverse.to(device) for device, _ in groups}
            with together():
                for (device, _), group in groups.items():
                    bind(OPS["scale_all"], scales[device], *group, into=tuple(group))
            progress.found.copy_(worst)
        progress.stage = UNSCALED

    def step(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
        """``optimizer.step(**kwargs)`` on unscaled gradients, unless one is not finite; gives what it returns."""
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
            result = _step_where_finite(optimizer, progress.found, kwargs)
        elif not progress.found.item():
            result = optimizer.step(**kwargs)
        progress.stage = STEPPED
        return result

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Move the scale by what the steps found, or set it; to be called once at the end of each iteration."""
        if not self._enabled:
            return
        self._noticed()
        with no_grad():
            if new_scale is not None:
                self._set(new_scale)
            else:
                self._move()
            for progress in self._progress.values():
                progress.found.zero_()
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

    def _move(self) -> None:
        founds = [progress.found for progress in self._progress.values()]
        if not founds:
            raise UnsupportedError(
                "GradScaler.update: no step was taken, expected one before; call step() first"
            )
        bad = sum(founds[1:], founds[0]) > 0
        steps = self._tracker + 1
        grown = self._scale * self._growth
        due = steps >= self._interval
        where = OPS["where"]
        larger = bind(where, due.logical_and(grown.isfinite()), grown, self._scale)
        scale = bind(where, bad, self._scale * self._backoff, larger)
        tracker = bind(where, due.logical_or(bad), 0, steps)
        self._scale.copy_(scale)
        self._tracker.copy_(tracker)

    def _of(self, optimizer: Optimizer) -> Progress:
        """The progress of an optimizer; within a trace its tensors are those from before."""
        self._noticed()
        if not isinstance(optimizer, Optimizer):
            raise ArgumentTypeError(
                mistake("GradScaler", "optimizer", f"a {type(optimizer).__name__}", "an Optimizer")
            )
        progress = self._progress.get(optimizer)
        if progress is None:
            with executing():
                found = tensor(0.0, dtype=dtypes.float32, device=self.device)
                self._progress[optimizer] = progress = Progress(found)
            if tracing():
                raise Retrace
        watch = watcher.get()
        if watch is not None:
            watch.depends(progress)
        return progress

    def _noticed(self) -> None:
        """Tell a trace that it depends on the factors."""
        watch = watcher.get()
        if watch is not None:
            watch.depends(self)

    # Options and state.

    def get_scale(self) -> float:
        """The scale as a number; waits for the device. 1 where disabled."""
        return float(self._scale.item()) if self._enabled else 1.0

    def get_growth_factor(self) -> float:
        """What the scale is multiplied by when it grows."""
        return self._growth

    def set_growth_factor(self, new_factor: float) -> None:
        """Set it; above 1."""
        refuse_tracing("set_growth_factor", "set it before the call")
        if not number("GradScaler", "growth_factor", new_factor) > 1.0:
            raise ArgumentError(mistake("GradScaler", "growth_factor", new_factor, "above 1"))
        self._growth, self.revision = float(new_factor), self.revision + 1

    def get_backoff_factor(self) -> float:
        """What the scale is multiplied by after a skipped step."""
        return self._backoff

    def set_backoff_factor(self, new_factor: float) -> None:
        """Set it; below 1."""
        refuse_tracing("set_backoff_factor", "set it before the call")
        self._backoff = number("GradScaler", "backoff_factor", new_factor, high=1.0)
        self.revision += 1

    def get_growth_interval(self) -> int:
        """How many steps without a skip let the scale grow."""
        return self._interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Set it; a whole number of at least 1."""
        refuse_tracing("set_growth_interval", "set it before the call")
        if isinstance(new_interval, bool) or not isinstance(new_interval, int) or new_interval < 1:
            raise ArgumentError(
                mistake("GradScaler", "growth_interval", new_interval, "a whole number of at least 1")
            )
        self._interval, self.revision = new_interval, self.revision + 1

    def state_dict(self) -> dict[str, Any]:
        """Scale, factors, interval and counter under PyTorch's keys; empty where disabled."""
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
        """Continue from what ``state_dict`` gave, here or in PyTorch."""
        if not self._enabled:
            return
        keys = {"scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker"}
        if not keys <= set(state_dict):
            raise ArgumentError(
                mistake("GradScaler.load_state_dict", "state_dict", f"with {sorted(state_dict)}",
                        f"the keys {sorted(keys)}", "an empty one was saved by a disabled scaler")
            )  # fmt: skip
        self.set_growth_factor(state_dict["growth_factor"])
        self.set_backoff_factor(state_dict["backoff_factor"])
        self.set_growth_interval(state_dict["growth_interval"])
        with no_grad():
            self._scale.fill_(number("GradScaler.load_state_dict", "scale", state_dict["scale"]))
            self._tracker.fill_(int(state_dict["_growth_tracker"]))


def _gradients(optimizer: Optimizer) -> dict[tuple[str, DType], list[Tensor]]:
    """The gradients of an optimizer's parameters by device and type; float16 ones are an error."""
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


def _step_where_finite(optimizer: Optimizer, found: Tensor, options: dict[str, Any]) -> Any:
    """The step in a trace: what it writes gets its old value again where a gradient was not finite."""
    with no_grad():
        written = [one for group in optimizer.param_groups for one in group["params"] if one.grad is not None]
        written += [one for parameter in written for one in optimizer.state[parameter].values()]
        written += [
            counter
            for group in optimizer.param_groups
            for cohort in group.cohorts
            for counter in cohort.counters.values()
        ]
        before = [bind(OPS["copy"], one) for one in written]
        result = optimizer.step(**options)
        for one, old in zip(written, before, strict=True):
            skipped = (found if one.device == found.device else found.to(str(one.device))) > 0
            bind(OPS["where"], skipped, old, one, into=(one,))
    return result
