"""``autograd.functional``: Jacobians, Hessians, and products of vectors with them, by the tape.

The newer form is ``weft.func``, whose transforms nest and map over samples. Here a function takes and returns a tensor
or a tuple of tensors, as in ``torch.autograd.functional``. Results have the structure of the inputs or the outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from weft.autograd.engine import grad
from weft.autograd.mode import enable_grad
from weft.errors import ArgumentTypeError, GradError, ShapeError, mistake
from weft.ops.index.indexing import stack
from weft.tensors.creation import zeros_like
from weft.tensors.tensor import Tensor

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]

Function = Callable[..., Any]
Tensors = Tensor | tuple[Tensor, ...]


def _tuple(where: str, name: str, given: Any) -> tuple[Tensor, ...]:
    """Return a tensor, or a sequence of tensors, as a tuple."""
    parts = tuple(given) if isinstance(given, tuple | list) else (given,)
    for part in parts:
        if not isinstance(part, Tensor):
            raise ArgumentTypeError(
                mistake(where, name, f"a {type(part).__name__}", "a tensor, or a tuple of tensors")
            )
    return parts


def _like(structure: Any, parts: Sequence[Any]) -> Any:
    """Return the parts as a tuple, or the only part where the structure is a single tensor."""
    return tuple(parts) if isinstance(structure, tuple | list) else parts[0]


def _leaves(inputs: tuple[Tensor, ...], create_graph: bool) -> tuple[Tensor, ...]:
    """Return the tensors to differentiate by: views of the inputs with ``create_graph``, else new leaves."""
    return tuple(
        tensor.view_as(tensor) if create_graph and tensor.requires_grad else tensor.detach().requires_grad_()
        for tensor in inputs
    )


def _without_history(parts: Sequence[Tensor], create_graph: bool) -> list[Tensor]:
    return list(parts) if create_graph else [part.detach() for part in parts]


def _vector(where: str, v: Any, like: tuple[Tensor, ...], name: str) -> tuple[Tensor, ...]:
    """Return the vector, of the shapes of ``like``; 1 where ``v`` is left out and ``like`` is one number."""
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise GradError(mistake(where, "v", None, f"a vector, since {name} has more than one element"))
        return (zeros_like(like[0]) + 1,)
    vector = _tuple(where, "v", v)
    if [part.shape for part in vector] != [part.shape for part in like]:
        given, expected = ([tuple(part.shape) for part in group] for group in (vector, like))
        raise ShapeError(mistake(where, "the shapes of v", given, f"{expected}, those of {name}"))
    return vector


def _flow(
    where: str, outputs: Sequence[Tensor], leaves: tuple[Tensor, ...], vector: Sequence[Tensor], create_graph: bool,
    strict: bool, keep: bool = False,
) -> list[Tensor]:  # fmt: skip
    """Return the product of the vector with the Jacobian; for independent inputs zeros, or an error if ``strict``."""
    pairs = [(out, part) for out, part in zip(outputs, vector, strict=True) if out.requires_grad]
    gradients: Sequence[Tensor | None] = [None] * len(leaves)
    if pairs:
        depending, parts = zip(*pairs, strict=True)
        gradients = grad(depending, leaves, parts, retain_graph=keep or create_graph, create_graph=create_graph,
                         allow_unused=True)  # fmt: skip
    if strict and (len(pairs) < len(outputs) or any(gradient is None for gradient in gradients)):
        raise GradError(
            mistake(where, "the function", "an output that does not depend on an input", "that all depend",
                    "leave out strict to take zeros")
        )  # fmt: skip
    return [
        zeros_like(leaf) if gradient is None else gradient
        for leaf, gradient in zip(leaves, gradients, strict=True)
    ]


def vjp(
    func: Function,
    inputs: Tensors,
    v: Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """Return the outputs of a function, and the product of a vector with its Jacobian.

    ``v`` has the shapes of the outputs, and may be left out for a single number. ``create_graph``: the results can be
    differentiated again. ``strict``: an input that the outputs do not depend on is an error, not a zero.

    >>> import weft as wf
    >>> wf.autograd.functional.vjp(lambda x: x**2, wf.tensor([1.0, 3.0]), wf.ones(2))
    (tensor([1., 9.]), tensor([2., 6.]))
    """
    with enable_grad():
        leaves = _leaves(_tuple("vjp", "inputs", inputs), create_graph)
        given = func(*leaves)
        outputs = _tuple("vjp", "the function's result", given)
        vector = _vector("vjp", v, outputs, "the function's result")
        product = _flow("vjp", outputs, leaves, vector, create_graph, strict)
    return (
        _like(given, _without_history(outputs, create_graph)),
        _like(inputs, _without_history(product, create_graph)),
    )


def jvp(
    func: Function,
    inputs: Tensors,
    v: Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """Return the outputs of a function, and the product of its Jacobian with a vector of the shapes of the inputs.

    The product is the derivative of ``vjp`` by the vector. Arguments are those of ``vjp``.

    >>> import weft as wf
    >>> wf.autograd.functional.jvp(lambda x: x.sum() * x, wf.tensor([1.0, 3.0]), wf.tensor([1.0, 0.0]))
    (tensor([ 4., 12.]), tensor([5., 3.]))
    """
    with enable_grad():
        leaves = _leaves(_tuple("jvp", "inputs", inputs), create_graph)
        vector = _vector("jvp", v, leaves, "the inputs")
        given = func(*leaves)
        outputs = _tuple("jvp", "the function's result", given)
        probes = tuple(zeros_like(output).requires_grad_() for output in outputs)
        pulled = _flow("jvp", outputs, leaves, probes, True, strict)
        product = _flow("jvp", pulled, probes, vector, create_graph, strict)
    return (
        _like(given, _without_history(outputs, create_graph)),
        _like(given, _without_history(product, create_graph)),
    )


def _rows(output: Tensor, leaves: tuple[Tensor, ...], create_graph: bool, strict: bool) -> list[Tensor]:
    """Return the Jacobian of one output by each leaf: (*output, *leaf)."""
    count, flat = output.numel(), output.reshape(-1)
    if not count:
        return [leaf.new_zeros((*output.shape, *leaf.shape)) for leaf in leaves]
    rows = [
        _flow(
            "jacobian", [flat[place]], leaves, [zeros_like(flat[place]) + 1], create_graph, strict, keep=True
        )
        for place in range(count)
    ]
    return [
        stack(column, 0).reshape((*output.shape, *leaf.shape))
        for leaf, column in zip(leaves, zip(*rows, strict=True), strict=True)
    ]


def jacobian(
    func: Function, inputs: Tensors, create_graph: bool = False, strict: bool = False, vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:  # fmt: skip
    """Return the Jacobian of a function: (*output, *input), a tuple for several inputs, of tuples for several outputs.

    The rows are computed one after another. ``vectorize`` and ``strategy``, which change only the method in PyTorch,
    are accepted without effect. ``weft.func.jacrev`` and ``jacfwd`` compute all rows at once.

    >>> import weft as wf
    >>> wf.autograd.functional.jacobian(lambda x: x**2, wf.tensor([1.0, 3.0]))
    tensor([[2., 0.],
            [0., 6.]])
    """
    if strategy not in ("reverse-mode", "forward-mode"):
        raise GradError(mistake("jacobian", "strategy", repr(strategy), "'reverse-mode' or 'forward-mode'"))
    with enable_grad():
        leaves = _leaves(_tuple("jacobian", "inputs", inputs), create_graph)
        given = func(*leaves)
        outputs = _tuple("jacobian", "the function's result", given)
        blocks = [_rows(output, leaves, create_graph, strict) for output in outputs]
    return _like(given, [_like(inputs, _without_history(row, create_graph)) for row in blocks])


def _gradient(where: str, func: Function, strict: bool) -> Function:
    """Return the function that computes the gradients of a function of one number, to be differentiated again."""

    def gradients(*leaves: Tensor) -> tuple[Tensor, ...]:
        outputs = _tuple(where, "the function's result", func(*leaves))
        if len(outputs) != 1 or outputs[0].numel() != 1:
            raise GradError(
                mistake(
                    where, "the function's result", [tuple(output.shape) for output in outputs], "one number"
                )
            )
        return tuple(_flow(where, outputs, leaves, [zeros_like(outputs[0]) + 1], True, strict))

    return gradients


def hessian(
    func: Function, inputs: Tensors, create_graph: bool = False, strict: bool = False, vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:  # fmt: skip
    """Return the Hessian of a function of one number: (*input, *input), a tuple of tuples for several inputs.

    >>> import weft as wf
    >>> wf.autograd.functional.hessian(lambda x: (x**3).sum(), wf.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    blocks = jacobian(_gradient("hessian", func, strict), inputs, create_graph, strict, vectorize,
                      outer_jacobian_strategy)  # fmt: skip
    return _like(inputs, blocks)


def vhp(
    func: Function,
    inputs: Tensors,
    v: Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """Return the value of a function of one number, and the product of a vector with its Hessian.

    Arguments are those of ``vjp``; ``v`` has the shapes of the inputs.

    >>> import weft as wf
    >>> wf.autograd.functional.vhp(lambda x: (x**3).sum(), wf.tensor([1.0, 2.0]), wf.tensor([1.0, 1.0]))
    (tensor(9.), tensor([ 6., 12.]))
    """
    return _second("vhp", func, inputs, v, create_graph, strict)


def hvp(
    func: Function,
    inputs: Tensors,
    v: Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """Return the value of a function of one number, and the product of its Hessian with a vector.

    The Hessian is symmetric, so that the result is that of ``vhp``.

    >>> import weft as wf
    >>> wf.autograd.functional.hvp(lambda x: (x**3).sum(), wf.tensor([1.0, 2.0]), wf.tensor([1.0, 1.0]))
    (tensor(9.), tensor([ 6., 12.]))
    """
    return _second("hvp", func, inputs, v, create_graph, strict)


def _second(
    where: str, func: Function, inputs: Any, v: Any, create_graph: bool, strict: bool
) -> tuple[Any, Any]:
    """Return the value of a function, and the product of a vector with its Hessian."""
    with enable_grad():
        leaves = _leaves(_tuple(where, "inputs", inputs), create_graph)
        vector = _vector(where, v, leaves, "the inputs")
        value: list[Any] = []

        def recorded(*given: Tensor) -> Any:
            value.append(func(*given))
            return value[-1]

        gradients = _gradient(where, recorded, strict)(*leaves)
        product = _flow(where, gradients, leaves, vector, create_graph, strict)
    outputs = _tuple(where, "the function's result", value[0])
    return (
        _like(value[0], _without_history(outputs, create_graph)),
        _like(inputs, _without_history(product, create_graph)),
    )
