"""Rprop (Riedmiller and Braun 1993): a step size for each element, which grows while its gradient keeps its sign."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from weft.errors import ArgumentError, mistake
from weft.ops import OPS, bind
from weft.optim.groups import ParamGroup, number
from weft.optim.optimizer import Optimizer, refuse_differentiable
from weft.tensors.tensor import Tensor


class Rprop(Optimizer):
    """Rprop, as ``torch.optim.Rprop``: for full-batch gradients.

    The step sizes are initialized to ``lr`` and clamped to ``step_sizes``. Where the gradient keeps its sign, the step
    size is multiplied by ``etas[1]``; where the sign changes, it is multiplied by ``etas[0]`` and no step is taken.
    ``foreach`` and ``capturable`` choose among PyTorch's implementations, and have no effect in weft.

    >>> import weft as wf
    >>> p = wf.nn.Parameter(wf.tensor([1.0, -2.0]))
    >>> optimizer = wf.optim.Rprop([p], lr=0.25)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p.detach()
    tensor([ 0.7500, -1.7500])
    """

    buffers: ClassVar[tuple[str, ...]] = ("prev", "step_size")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        refuse_differentiable(self._name, differentiable)
        defaults = {
            "lr": number(self._name, "lr", lr), "etas": etas, "step_sizes": step_sizes, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _check(self, group: ParamGroup) -> None:
        number(self._name, "lr", group["lr"])
        for name in ("etas", "step_sizes"):
            pair = group[name]
            if not isinstance(pair, tuple | list) or len(pair) != 2:
                raise ArgumentError(mistake(self._name, name, pair, "two numbers"))
            for position, value in enumerate(pair):
                number(self._name, f"{name}[{position}]", value)
        if not 0.0 < group["etas"][0] < 1.0 < group["etas"][1]:
            raise ArgumentError(
                mistake(self._name, "etas", group["etas"], "a number in (0, 1) and a number above 1")
            )

    def _initial(self, group: ParamGroup, name: str) -> float:
        return float(group["lr"]) if name == "step_size" else 0.0

    def _update(
        self,
        group: ParamGroup,
        rate: Tensor,
        step: Tensor,
        operands: Sequence[Tensor],
        targets: tuple[Tensor, ...],
    ) -> None:
        names = ("shrink", "grow", "least", "most")
        numbers = (float(value) for value in (*group["etas"], *group["step_sizes"]))
        options = dict(zip(names, numbers, strict=True))
        bind(OPS["rprop_step"], *operands, into=targets, maximize=bool(group["maximize"]), **options)
