"""``compile_training``: a model, a loss and an optimizer as one compiled step, with what surrounds a training.

A thin layer over ``jit``: the step is a jitted function (``training_step``), its results are read when asked for
(``training_results``), and forward passes attached to it share the model (``training_forward``).
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
"""What a training's state dict holds."""


class CompiledTraining:
    """A training that ``compile_training`` made: one handle from the first step to ``close()``, whatever the model.

    Any thread may call; calls take turns. As a context it is closed at the end.
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
        """A step for a model, compiled already unless sizes are left open, and its inputs."""
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
        """Train this from now on; the next step is the first one."""
        self._step, self._inputs, self._generator = step, inputs, step.generator
        self._initial = _on_host(self._state())
        self.steps = 0

    @property
    def model(self) -> Module:
        """The model that is trained."""
        return self._trained("model").model

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer, whose options may be changed; all but the learning rate are compiled in."""
        return self._trained("optimizer").optimizer

    @property
    def schedule(self) -> LRScheduler | None:
        """The schedule of the learning rate, which each step moves on."""
        return self._trained("schedule").schedule

    @property
    def parameter_names(self) -> list[str]:
        """The dotted names of the model's parameters."""
        return [name for name, _ in self.model.named_parameters()]

    @property
    def compilations(self) -> int:
        """Programs made for the present model's step."""
        return self._trained("compilations").program.compilations

    def _trained(self, what: str) -> TrainingStep:
        if self._closed:
            raise DisposedError(
                f"train.{what}: is used after close(), expected a use before; compile it again"
            )
        return self._step

    def step(self, /, **inputs: Any) -> StepResult:
        """Take a step on inputs by name: tensors, or NumPy arrays, which are copied to the device.

        Gives its loss and captures at once, while the device computes: reading them waits. Raises
        ``ArgumentTypeError``, ``ShapeError``, ``DTypeError`` or ``DeviceError`` for inputs that are not as declared;
        nothing is changed then.
        """
        with self._lock:
            step = self._trained("step")
            loss, captures = step.program.with_captures(**self._inputs.check("train.step", inputs))
            self.steps += 1
            return StepResult(self.steps, loss, Captures(captures), step.fate)

    def plan(self, /, **inputs: Any) -> CompiledPlan:
        """The compiled step for inputs like these by itself, which ``save`` writes with all that it trains.

        A call of it, with inputs by name, gives the loss and the captures; it trains the same model, but is not counted
        in ``steps``. See ``JitFunction.plan``.
        """
        with self._lock:
            made = self._trained("plan").program.plan_with_captures(
                **self._inputs.check("train.plan", inputs)
            )
        made.holding = lambda: self._lock
        return made

    def attach(self, forward: Callable[..., Any], inputs: Mapping[str, Any]) -> CompiledForward:
        """Compile ``forward(model, **inputs)`` for the model as it is trained: each call sees the last step's weights.

        ``inputs`` are declared as for ``compile_forward``; sizes that are ``None`` are compiled for on demand. It runs
        in evaluation mode without recording gradients, draws from the training's random numbers, and stays attached
        when the model is replaced.

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
        """Train another model from here on, with the same loss and inputs; forward passes stay attached.

        Results of steps that were not read yet raise ``Aborted``. ``optimizer`` and ``schedule`` are those of
        ``compile_training`` made anew where they were given as functions; they must be given here where they were not.
        ``seed`` starts the random numbers anew. Where something does not fit, nothing has changed.
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
        """What is given, or what was given first where that can be made for another model."""
        if given is None and isinstance(first, kind):
            expected = (
                f"one of the new model: the first was given as a {type(first).__name__}, made for the old"
            )
            raise ArgumentError(mistake(where, name, None, expected, "give a function that makes it"))
        return first if given is None else given

    def set_lr(self, lr: float | Sequence[float] | Callable[[Optimizer], LRScheduler]) -> None:
        """Set the learning rate of all parameter groups, or one each; a schedule ends with that.

        A function of the optimizer gives a new schedule, which starts with the next step from the present rates. A
        number costs no compilation where there was no schedule.
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
                expected = f"a number, or {len(groups)}, one a parameter group"
                raise ArgumentError(mistake("train.set_lr", "lr", f"{len(rates)} numbers", expected))
            step.set_schedule(None)
            for group, rate in zip(groups, rates, strict=True):
                group["lr"] = rate

    def seed(self, seed: int) -> None:
        """Start the random numbers of the steps and of attached forward passes anew."""
        with self._lock:
            self._random("seed").manual_seed(seed)

    def _random(self, what: str) -> Generator:
        step = self._trained(what)
        return default_generator(self._inputs.device) if step.generator is None else step.generator

    def reset(self, seed: int | None = None) -> None:
        """Begin again: all is as it was when the model was compiled, the random numbers too unless ``seed`` is given.

        That is parameters, persistent buffers, the optimizer's state and options, and the schedule.
        """
        with self._lock:
            self._trained("reset")
            self.load_state_dict(self._initial)
            if seed is not None:
                self.seed(seed)

    def state_dict(self) -> dict[str, Any]:
        """All that the training goes on from, as copies: ``model, optimizer, schedule, scaler, random, steps``."""
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
        """Go on from a ``state_dict()``, this training's or that of another of the same model and optimizer.

        The steps that follow are those that followed it, to the last bit. Raises ``ArgumentError`` or ``StateError``
        for what does not fit; nothing has changed then.
        """
        where = "train.load_state_dict"
        with self._lock:
            step = self._trained("load_state_dict")
            if not isinstance(state_dict, Mapping) or set(state_dict) != set(PARTS):
                given = sorted(state_dict) if isinstance(state_dict, Mapping) else type(state_dict).__name__
                raise ArgumentError(mistake(where, "state_dict", given, f"a dict with {', '.join(PARTS)}"))
            if (state_dict["schedule"] is None) != (step.schedule is None):
                saved, expected = (
                    "without" if schedule is None else "with"
                    for schedule in (state_dict["schedule"], step.schedule)
                )
                raise ArgumentError(mistake(where, "state_dict", f"{saved} a schedule", f"one {expected}"))
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
        """Let go of the model and all that is compiled; results that were not read raise ``Aborted`` from now on.

        The model itself stays as the last step left it. Uses afterwards raise ``DisposedError``.
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
    """A copy of a state dict whose tensors are arrays on the host, those of one value throughout as that value."""
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
    """Compile the training of a model: loss, gradients, optimizer and schedule are one program, replayed at each step.

    ``loss``: ``loss(model, **inputs)`` gives the loss as a 0-d tensor; ``weft.capture`` marks what steps hand out.
    ``optimizer``: one of ``weft.optim`` over the model's parameters, or a function of the model that makes it, which
    ``replace_model`` calls again; ``weft.optim.decay_groups`` chooses what decays by name.
    ``inputs``: for each name an example tensor, a ``TensorType``, a shape (for float32) or a pair (shape, dtype). Sizes
    that are ``None`` are compiled for when they first come, and are one size for all of a step.
    ``seed``: random numbers of its own for the steps, from this seed; else they are those of ``weft.manual_seed``.
    ``schedule``: a learning rate schedule of the optimizer, or a function that makes it; each step moves it on.
    ``max_norm`` and ``max_value`` limit the norm of all gradients and each element, ``normalize_grads`` gives all of
    them together the norm 1. ``scaler``: for a loss under ``weft.autocast`` in float16.

    All is compiled here unless sizes are open, so mistakes in shapes are raised here, with the user's line. The model
    is trained in the mode (``model.train()``) that it is in. Raises ``ShapeError`` for a loss that is not 0-d.

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
