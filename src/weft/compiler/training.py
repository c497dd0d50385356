"""``compile_training``: a model, a loss and an optimizer as one compiled training step, with its state and schedule.

It is a thin layer over ``jit``. The step is a jitted function (``training_step``), its results are read on demand
(``training_results``), and attached forward passes share the model (``training_forward``).
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any
from weakref import WeakSet

from weft.amp import GradScaler
from weft.compiler.plans.compiled import CompiledPlan
from weft.compiler.training_forward import CompiledForward, device_of_model
from weft.compiler.training_inputs import Inputs
from weft.compiler.training_results import Captures, StepResult
from weft.compiler.training_step import (
    WHERE,
    Limits,
    Loss,
    MakeOptimizer,
    MakeSchedule,
    TrainingStep,
    built_optimizer,
    built_schedule,
    checked_scaler,
)
from weft.errors import ArgumentError, ArgumentTypeError, DisposedError, mistake
from weft.nn.module import Module
from weft.optim.lr_scheduler import LRScheduler
from weft.optim.optimizer import Optimizer
from weft.random.generator import Generator, default_generator
from weft.tensors.tensor import Tensor
from weft.utils.tree import flatten

PARTS = ("model", "optimizer", "schedule", "scaler", "random", "steps")
"""The keys of a training's state dict."""


class CompiledTraining:
    """The handle of a compiled training; it stays the same when the model is replaced, until ``close()``.

    Any thread may call; a lock serialises the calls. A ``with`` block closes the training at its end.
    """

    def __init__(
        self, model: Module, loss: Loss, optimizer: MakeOptimizer, inputs: Mapping[str, Any], *, seed: int | None,
        schedule: MakeSchedule, limits: Limits, scaler: GradScaler | None,
    ) -> None:  # fmt: skip
        self._loss, self._limits, self._scaler = loss, limits, scaler
        self._make_optimizer, self._make_schedule = optimizer, schedule
        self._lock = threading.RLock()
        self._forwards: WeakSet[CompiledForward] = WeakSet()
        self._closed = False
        self._generator: Generator | None = None
        self.inputs = inputs
        self._use(*self._built(WHERE, model, optimizer, schedule, seed))

    def _built(
        self, where: str, model: Module, optimizer: MakeOptimizer, schedule: MakeSchedule, seed: int | None
    ) -> tuple[TrainingStep, Inputs]:
        """Return the step of a model and its inputs; the step is compiled unless a size is open."""
        if not isinstance(model, Module):
            raise ArgumentTypeError(mistake(where, "model", f"a {type(model).__name__}", "a Module"))
        built = built_optimizer(where, optimizer, model)
        device = device_of_model(model)
        generator = self._generator if seed is None else Generator(device).manual_seed(seed)
        if generator is not None and generator.device != device:
            generator = Generator(device).manual_seed(generator.initial_seed())
        step = TrainingStep(
            model, self._loss, built, built_schedule(where, schedule, built), self._limits,
            checked_scaler(where, self._scaler, device), generator,
        )  # fmt: skip
        declared = Inputs(where, self.inputs, device)
        if not declared.open:
            step.program.prepare((), declared.examples(), capturing=True)
        return step, declared

    def _use(self, step: TrainingStep, inputs: Inputs) -> None:
        """Replace the step, and count steps from 0."""
        self._step, self._inputs, self._generator = step, inputs, step.generator
        self._initial = _on_host(self._state())
        self.steps = 0

    @property
    def model(self) -> Module:
        """The trained model."""
        return self._trained("model").model

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer. Its options may be changed; another value of any but the learning rate recompiles the step."""
        return self._trained("optimizer").optimizer

    @property
    def schedule(self) -> LRScheduler | None:
        """The learning rate schedule, which each step advances."""
        return self._trained("schedule").schedule

    @property
    def parameter_names(self) -> list[str]:
        """The dotted names of the model's parameters."""
        return [name for name, _ in self.model.named_parameters()]

    @property
    def compilations(self) -> int:
        """How many programs were compiled for the step of the present model."""
        return self._trained("compilations").program.compilations

    def _trained(self, member: str) -> TrainingStep:
        if self._closed:
            raise DisposedError(
                f"train.{member}: is used after close(), expected a training that is open; call compile_training again"
            )
        return self._step

    def step(self, /, **inputs: Any) -> StepResult:
        """Take one training step on inputs by name: tensors, or NumPy arrays, which are copied to the device.

        Returns:
            The loss and the captures of the step, without waiting for the device; reading a value waits.

        Raises:
            ArgumentTypeError, ShapeError, DTypeError, DeviceError: an input is not as declared; nothing has changed.
        """
        with self._lock:
            step = self._trained("step")
            loss, captures = step.program.with_captures(**self._inputs.check("train.step", inputs))
            self.steps += 1
            return StepResult(self.steps, loss, Captures(captures), step.fate)

    def plan(self, /, **inputs: Any) -> CompiledPlan:
        """Return the compiled step for inputs like these as a plan, which ``save`` writes with the model and optimizer.

        A call of the plan, with inputs by name, takes a step of the same training and returns the loss and the
        captures; ``steps`` does not count it. See ``JitFunction.plan``.
        """
        with self._lock:
            made = self._trained("plan").program.plan_with_captures(
                **self._inputs.check("train.plan", inputs)
            )
        made.holding = lambda: self._lock
        return made

    def attach(self, forward: Callable[..., Any], inputs: Mapping[str, Any]) -> CompiledForward:
        """Compile ``forward(model, **inputs)`` for the trained model; each call uses the weights of the last step.

        The forward pass runs in evaluation mode, records no gradients, and draws from the training's random generator.
        It stays attached when the model is replaced.

        Args:
            forward: a function of the model and the inputs.
            inputs: the inputs, declared as for ``compile_forward``; a size of ``None`` is compiled on demand.

        >>> import weft as wf
        >>> train = wf.compile_training(
        ...     wf.nn.Linear(3, 1), lambda model, x: model(x).square().mean(),
        ...     lambda model: wf.optim.SGD(model.parameters()), {"x": (8, 3)})
        >>> predict = train.attach(lambda model, x: model(x), {"x": (None, 3)})
        >>> predict(x=wf.ones(5, 3)).shape
        (5, 1)
        """
        with self._lock:
            step = self._trained("attach")
            if not callable(forward):
                raise ArgumentTypeError(
                    mistake(
                        "train.attach", "forward", f"a {type(forward).__name__}", "a function of the model"
                    )
                )
            name = getattr(forward, "__name__", type(forward).__name__)
            made = CompiledForward(
                f"train.attach: {name}", forward, inputs, lambda: self._step.model, device_of_model(step.model),
                self._lock, lambda: self._step.generator,
            )  # fmt: skip
            self._forwards.add(made)
            return made

    def replace_model(
        self, model: Module, *, seed: int | None = None, optimizer: MakeOptimizer | None = None,
        schedule: MakeSchedule = None,
    ) -> None:  # fmt: skip
        """Train another model from now on, with the same loss and inputs; forward passes stay attached.

        Unread results of earlier steps raise ``Aborted``. After an error nothing has changed.

        Args:
            model: the new model.
            seed: a new seed of the training's random generator.
            optimizer: the new optimizer, or a function of the model that returns it. It may be omitted where
                ``compile_training`` got a function, which is called again.
            schedule: the same for the learning rate schedule.
        """
        where = "train.replace_model"
        with self._lock:
            old = self._trained("replace_model")
            make_optimizer = self._anew(where, "optimizer", optimizer, self._make_optimizer, Optimizer)
            make_schedule = self._anew(where, "schedule", schedule, self._make_schedule, LRScheduler)
            made = self._built(where, model, make_optimizer, make_schedule, seed)
            self._make_optimizer, self._make_schedule = make_optimizer, make_schedule
            self._use(*made)
            old.fate.words = "replace_model()"
            for forward in self._forwards:
                forward.renew(made[1].device)

    @staticmethod
    def _anew(where: str, name: str, given: Any, first: Any, kind: type) -> Any:
        """Return ``given``, or ``first`` where it is a function that can be called for another model."""
        if given is None and isinstance(first, kind):
            kind_name = type(first).__name__
            expected = (
                f"the {name} of the new model, since the first was given as a {kind_name} of the old model"
            )
            raise ArgumentError(mistake(where, name, None, expected, "give a function that returns it"))
        return first if given is None else given

    def set_lr(self, lr: float | Sequence[float] | Callable[[Optimizer], LRScheduler]) -> None:
        """Set the learning rate, or replace the schedule.

        A number without an earlier schedule does not recompile the step.

        Args:
            lr: a rate for all parameter groups, or a list with one rate for each group; both remove the schedule. A
                function of the optimizer returns a new schedule, which starts at the next step from the present rates.
        """
        with self._lock:
            step = self._trained("set_lr")
            groups = step.optimizer.param_groups
            if callable(lr):
                for group in groups:
                    group.pop("initial_lr", None)
                step.set_schedule(built_schedule("train.set_lr", lr, step.optimizer))
                return
            rates = list(lr) if isinstance(lr, list | tuple) else [lr] * len(groups)
            if len(rates) != len(groups):
                expected = f"a number, or {len(groups)} numbers, one for each parameter group"
                raise ArgumentError(mistake("train.set_lr", "lr", f"{len(rates)} numbers", expected))
            step.set_schedule(None)
            for group, rate in zip(groups, rates, strict=True):
                group["lr"] = rate

    def seed(self, seed: int) -> None:
        """Set the seed of the random generator of the steps and of attached forward passes."""
        with self._lock:
            self._random("seed").manual_seed(seed)

    def _random(self, member: str) -> Generator:
        step = self._trained(member)
        return default_generator(self._inputs.device) if step.generator is None else step.generator

    def reset(self, seed: int | None = None) -> None:
        """Restore the state at compilation: parameters, persistent buffers, optimizer, schedule and random numbers.

        Args:
            seed: another seed for the random numbers.
        """
        with self._lock:
            self._trained("reset")
            self.load_state_dict(self._initial)
            if seed is not None:
                self.seed(seed)

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the training's state: ``model, optimizer, schedule, scaler, random, steps``."""
        with self._lock:
            self._trained("state_dict")
            return copy.deepcopy(self._state())

    def _state(self) -> dict[str, Any]:
        step = self._step
        return {
            "model": step.model.state_dict(),
            "optimizer": step.optimizer.state_dict(),
            "schedule": None if step.schedule is None else step.schedule.state_dict(),
            "scaler": step.scaler.state_dict(),
            "random": self._random("state_dict").get_state(),
            "steps": getattr(self, "steps", 0),
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore a ``state_dict()`` of this training, or of another training of the same model and optimizer.

        The following steps are bit-identical to the steps that followed the saved state.

        Raises:
            ArgumentError, StateError: the state does not fit; nothing has changed.
        """
        where = "train.load_state_dict"
        with self._lock:
            step = self._trained("load_state_dict")
            if not isinstance(state_dict, Mapping) or set(state_dict) != set(PARTS):
                given = sorted(state_dict) if isinstance(state_dict, Mapping) else type(state_dict).__name__
                raise ArgumentError(mistake(where, "state_dict", given, f"a dict with {', '.join(PARTS)}"))
            if (state_dict["schedule"] is None) != (step.schedule is None):
                saved, wanted = (
                    "without" if schedule is None else "with"
                    for schedule in (state_dict["schedule"], step.schedule)
                )
                raise ArgumentError(
                    mistake(where, "state_dict", f"{saved} a schedule", f"a state {wanted} a schedule")
                )
            before = copy.deepcopy(self._state())
            try:
                self._load(step, state_dict)
            except BaseException:
                self._load(step, before)
                raise

    def _load(self, step: TrainingStep, state: Mapping[str, Any]) -> None:
        step.model.load_state_dict(state["model"])
        step.optimizer.load_state_dict(state["optimizer"])
        if step.schedule is not None:
            step.schedule.load_state_dict(copy.deepcopy(state["schedule"]))
        step.scaler.load_state_dict(state["scaler"])
        self._random("load_state_dict").set_state(list(state["random"]))
        self.steps = state["steps"]

    def close(self) -> None:
        """Release the model and all compiled programs; unread results raise ``Aborted`` from now on.

        The model keeps the weights of the last step. Later calls raise ``DisposedError``.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._step.fate.words = "close()"
            for forward in self._forwards:
                forward.close("train.close()")
            del self._step, self._initial, self._make_optimizer, self._make_schedule, self._loss

    def __enter__(self) -> CompiledTraining:
        self._trained("__enter__")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._closed:
            return "<closed training>"
        return f"<training of {type(self._step.model).__name__}: {self.steps} steps, {self.compilations} programs>"


def _on_host(state: dict[str, Any]) -> dict[str, Any]:
    """Copy a state dict to the host; a tensor whose elements are all equal becomes a broadcast array of one element."""
    import numpy

    leaves, rebuild = flatten({name: state[name] for name in ("model", "optimizer")})
    made = []
    for leaf in leaves:
        if not isinstance(leaf, Tensor):
            made.append(copy.deepcopy(leaf))
            continue
        array = leaf.detach().numpy()
        uniform = array.size > 1 and bool((array == array.flat[0]).all())
        made.append(numpy.broadcast_to(array.flat[0].copy(), array.shape) if uniform else array.copy())
    return {**copy.deepcopy({name: state[name] for name in PARTS[2:]}), **rebuild(made)}


def compile_training(
    model: Module, loss: Loss, optimizer: MakeOptimizer, inputs: Mapping[str, Any], *, seed: int | None = None,
    schedule: MakeSchedule = None, max_norm: float | None = None, max_value: float | None = None,
    normalize_grads: bool = False, scaler: GradScaler | None = None,
) -> CompiledTraining:  # fmt: skip
    """Compile the training step of a model: loss, gradients, optimizer and schedule become one replayed program.

    The step is compiled here unless a size is open, so errors in shapes are raised here, with the user's line. The
    model is trained in its present mode (``model.train()`` or ``model.eval()``).

    Args:
        model: the module.
        loss: ``loss(model, **inputs)`` returns the loss as a 0-d tensor. ``weft.capture`` in it marks further results.
        optimizer: an optimizer over the model's parameters, or a function of the model that returns it, which
            ``replace_model`` calls again. ``weft.optim.decay_groups`` selects parameters for weight decay by name.
        inputs: for each name an example tensor, a ``TensorType``, a shape (of float32) or a pair (shape, dtype). A size
            of ``None`` is open: each size is compiled at its first use, and all open sizes of a step are equal.
        seed: the seed of a random generator for the steps; by default they use the generator of ``weft.manual_seed``.
        schedule: a learning rate schedule, or a function of the optimizer that returns it; each step advances it.
        max_norm: the largest total norm of the gradients.
        max_value: the largest absolute value of a gradient's element.
        normalize_grads: scale the gradients to the total norm 1.
        scaler: a ``GradScaler`` for a loss under ``weft.autocast`` in float16.

    Raises:
        ShapeError: the loss is not 0-d.

    >>> import weft as wf
    >>> wf.manual_seed(0).device and None
    >>> train = wf.compile_training(
    ...     model=wf.nn.Linear(3, 1),
    ...     loss=lambda model, x, y: wf.nn.functional.mse_loss(model(x), y),
    ...     optimizer=lambda model: wf.optim.Adam(model.parameters(), lr=0.1),
    ...     inputs={"x": (8, 3), "y": (8, 1)},
    ... )
    >>> results = [train.step(x=wf.ones(8, 3), y=wf.zeros(8, 1)) for _ in range(20)]
    >>> results[-1].loss < results[0].loss, train.compilations
    (True, 1)
    """
    limits = Limits(max_norm, max_value, bool(normalize_grads))
    return CompiledTraining(
        model, loss, optimizer, inputs, seed=seed, schedule=schedule, limits=limits, scaler=scaler
    )
