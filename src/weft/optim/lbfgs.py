"""L-BFGS (Nocedal 1980): quasi-Newton steps from the last changes of parameters and gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from weft.autograd import enable_grad, no_grad
from weft.errors import ArgumentError, ArgumentTypeError, mistake
from weft.ops import FUNCTIONS
from weft.optim.groups import number
from weft.optim.line_search import strong_wolfe
from weft.optim.optimizer import Optimizer
from weft.optim.state import converted
from weft.tensors.creation import zeros
from weft.tensors.tensor import Tensor
from weft.tensors.watch import refuse_tracing


class LBFGS(Optimizer):
    """L-BFGS, as ``torch.optim.LBFGS``: ``step`` takes a closure, which it calls several times.

    The closure sets the gradients to zero, computes the loss, calls ``backward`` and returns the loss. A step does up
    to ``max_iter`` iterations and ``max_eval`` calls. It ends where no gradient is above ``tolerance_grad``, or the
    changes are below ``tolerance_change``. ``line_search_fn`` is ``None`` or ``"strong_wolfe"``. There is a single
    parameter group. The losses are read on the host, so that a step cannot be compiled.

    >>> import weft as wf
    >>> p = wf.nn.Parameter(wf.tensor([3.0, -2.0]))
    >>> optimizer = wf.optim.LBFGS([p], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = ((p - 1) ** 2).sum()
    ...     loss.backward()
    ...     return loss
    >>> optimizer.step(closure).item()
    13.0
    >>> p.detach()
    tensor([1.0000, 1.0000])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        number(self._name, "lr", lr)
        if line_search_fn not in (None, "strong_wolfe"):
            raise ArgumentError(
                mistake(self._name, "line_search_fn", repr(line_search_fn), "None or 'strong_wolfe'")
            )
        defaults = {
            "lr": number(self._name, "lr", lr), "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval, "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change, "history_size": history_size, "line_search_fn": line_search_fn,
        }  # fmt: skip
        self.progress: dict[str, Any] = {}
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ArgumentError(
                mistake(self._name, "params", f"{len(self.param_groups)} groups", "one group")
            )

    @property
    def _members(self) -> list[Tensor]:
        members: list[Tensor] = self.param_groups[0]["params"]
        return members

    def _flat_gradient(self) -> Tensor:
        parts = [
            zeros(p.numel(), dtype=p.dtype, device=str(p.device)) if p.grad is None else p.grad.reshape(-1)
            for p in self._members
        ]
        joined: Tensor = FUNCTIONS["cat"].function([part.detach() for part in parts])
        return joined

    def _move(self, step: float | Tensor, direction: Tensor) -> None:
        """Add ``step * direction`` to the parameters."""
        start = 0
        for parameter in self._members:
            part = direction[start : start + parameter.numel()].reshape(*parameter.shape)
            parameter.add_(part * step)
            start += parameter.numel()

    def _evaluate(
        self, closure: Callable[[], Any], before: list[Tensor], direction: Tensor, step: float
    ) -> tuple[float, Tensor]:
        """Return the loss and the gradient after a step, and restore the parameters."""
        self._move(step, direction)
        with enable_grad():
            loss = float(closure())
        gradient = self._flat_gradient()
        for parameter, value in zip(self._members, before, strict=True):
            parameter.copy_(value)
        return loss, gradient

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Do up to ``max_iter`` iterations; return the loss before the first."""
        refuse_tracing("LBFGS.step", "losses are read on the host; call it outside of compiled functions")
        if closure is None:
            raise ArgumentTypeError(
                mistake("LBFGS.step", "closure", None, "a function that computes the loss")
            )
        with no_grad():
            return self._iterate(closure)

    def _iterate(self, closure: Callable[[], Any]) -> Any:
        group, state = self.param_groups[0], self.progress
        with enable_grad():
            first = closure()
        loss, calls = float(first), 1
        state["func_evals"] = state.get("func_evals", 0) + 1
        gradient = self._flat_gradient()
        if gradient.abs().max().item() <= group["tolerance_grad"]:
            return first
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] = state.get("n_iter", 0) + 1
            direction = self._direction(gradient)
            state["prev_flat_grad"], state["prev_loss"] = gradient.clone(), loss
            slope = gradient.dot(direction).item()
            size = min(1.0, 1.0 / gradient.abs().sum().item()) if state["n_iter"] == 1 else 1.0
            step = size * group["lr"]
            if slope > -group["tolerance_change"]:
                break
            evaluations = 0
            if group["line_search_fn"] is not None:
                before = [parameter.clone() for parameter in self._members]
                evaluate = partial(self._evaluate, closure, before, direction)
                loss, gradient, step, evaluations = strong_wolfe(
                    evaluate, step, direction, loss, gradient, slope, group["tolerance_change"]
                )
                self._move(step, direction)
            else:
                self._move(step, direction)
                if iteration != group["max_iter"]:
                    with enable_grad():
                        loss = float(closure())
                    gradient, evaluations = self._flat_gradient(), 1
            state["d"], state["t"] = direction, step
            calls += evaluations
            state["func_evals"] += evaluations
            if self._is_done(group, gradient, calls, direction, step, loss):
                break
        return first

    def _is_done(
        self,
        group: Mapping[str, Any],
        gradient: Tensor,
        calls: int,
        direction: Tensor,
        step: float,
        loss: float,
    ) -> bool:
        least = group["tolerance_change"]
        return bool(
            calls >= group["max_eval"]
            or gradient.abs().max().item() <= group["tolerance_grad"]
            or (direction * step).abs().max().item() <= least
            or abs(loss - self.progress["prev_loss"]) < least
        )

    def _direction(self, gradient: Tensor) -> Tensor:
        """Return the direction by the two loops over the history (Nocedal and Wright 2006, algorithm 7.4)."""
        state = self.progress
        if state["n_iter"] == 1:
            state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1.0)
            return -gradient
        change = gradient - state["prev_flat_grad"]
        moved = state["d"] * state["t"]
        curvature = change.dot(moved).item()
        if curvature > 1e-10:
            if len(state["old_dirs"]) == self.param_groups[0]["history_size"]:
                for name in ("old_dirs", "old_stps", "ro"):
                    state[name].pop(0)
            state["old_dirs"].append(change)
            state["old_stps"].append(moved)
            state["ro"].append(1.0 / curvature)
            state["H_diag"] = curvature / change.dot(change).item()
        history = list(zip(state["old_dirs"], state["old_stps"], state["ro"], strict=True))
        weights: list[float] = []
        result: Tensor = -gradient
        for change, moved, ratio in reversed(history):
            weights.append(moved.dot(result).item() * ratio)
            result = result - change * weights[-1]
        result = result * state["H_diag"]
        for (change, moved, ratio), weight in zip(history, reversed(weights), strict=True):
            result = result + moved * (weight - change.dot(result).item() * ratio)
        return result

    def state_dict(self) -> dict[str, Any]:
        """Return the options, and the history under parameter 0, with PyTorch's names."""
        packed = super().state_dict()
        return {**packed, "state": {0: dict(self.progress)} if self.progress else {}}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load the options and the history of ``state_dict()``; nothing changes where they do not fit."""
        super().load_state_dict({**state_dict, "state": {}} if "state" in state_dict else state_dict)
        like = self._members[0]
        self.progress = {
            key: _loaded(value, like) for key, value in state_dict["state"].get(0, {}).items() if key != "al"
        }


def _loaded(value: Any, like: Tensor) -> Any:
    """Return a part of the history on the parameters' device: vectors as tensors, ratios as numbers."""
    if isinstance(value, list):
        return [_loaded(item, like) for item in value]
    if hasattr(value, "ndim"):
        return value.item() if value.ndim == 0 else converted("LBFGS.load_state_dict", value, like)
    return value
