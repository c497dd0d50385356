"""``compile``: a compiled function or module whose results take part in eager autograd.

``jit`` compiles whole training steps; ``compile`` compiles a part of a step. Its results have a history, and
``backward`` runs a second compiled graph. A compiled module is a module: it shares its attributes with the original,
and only its ``forward`` is replaced.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from weft.compiler.jit import JitFunction
from weft.errors import ArgumentTypeError, UnsupportedError, mistake
from weft.nn.module import Module


class CompiledFunction(JitFunction):
    """The compiled form of a function; ``compilations`` counts the signatures that were compiled."""

    deriving = True

    def __init__(self, fn: Callable[..., Any], max_cached: int) -> None:
        super().__init__(fn, (), max_cached, True)

    def _options(self) -> tuple[Any, ...]:
        return (self.max_cached,)

    def __repr__(self) -> str:
        return f"<compiled {self.__name__}: {len(self._programs)} programs>"


def compiled_module(module: Module, max_cached: int) -> Module:
    """Return a module with the same attributes and a compiled ``forward``; its class derives from the module's."""
    kind = type(module)
    original = kind.__dict__.get("_compiled_from")
    if original is not None:
        raise ArgumentTypeError(
            mistake(
                "compile", "model", f"a compiled {original.__name__}", "a module that is not compiled yet"
            )
        )
    compiled = CompiledFunction(module.forward, max_cached)
    compiled.__name__ = kind.__name__

    def deep_copy(_: Module, memo: dict[int, Any]) -> Module:
        return compiled_module(deepcopy(module, memo), max_cached)

    body = {
        "forward": property(lambda _: compiled),
        "__deepcopy__": deep_copy,
        "__reduce__": lambda _: (compiled_module, (module, max_cached)),
        "__module__": kind.__module__,
        "__doc__": kind.__doc__,
        "_compiled_from": kind,
        "_orig_mod": property(lambda _: module),
        "compiled": property(lambda _: compiled),
        "compilations": property(lambda _: compiled.compilations),
    }
    made: Module = object.__new__(type(kind.__name__, (kind,), body))
    object.__setattr__(made, "__dict__", module.__dict__)
    return made


MODES = (None, "default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
"""The modes of ``torch.compile``, which have no effect here."""


def compile(
    model: Callable[..., Any] | None = None,
    *,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: str | None = None,
    mode: str | None = None,
    options: dict[str, Any] | None = None,
    disable: bool = False,
    max_cached: int = 8,
) -> Any:
    """Compile a function or a module into a forward graph and a backward graph, as ``torch.compile``.

    The compiled function is called as the original, and its results have gradients as before. A call is traced once
    for each signature of its arguments (see ``weft.jit``) and then replayed; ``backward`` replays the backward graph.
    The tensors saved between the two graphs are chosen to take little memory (a minimum cut): cheap operations are
    recomputed, but never a matrix product, a convolution, a reduction or a random number. Parameters and buffers that
    the function reaches by closure get their gradients and updates as in eager mode. A compiled module shares
    parameters, hooks and ``state_dict`` with the original. Hooks of submodules run while the module is traced.

    Results do not share memory with arguments or with each other. Under ``no_grad`` there is one graph, which saves
    no tensors. A compiled function that a jitted function calls is part of the outer graph.

    Args:
        model: the function or module; without it, ``compile`` returns a decorator.
        fullgraph: has no effect, since the whole function is always one graph.
        dynamic: ``None`` or False; symbolic shapes are not supported.
        backend: ``None`` or ``"inductor"``.
        mode: one of PyTorch's modes, which have no effect here.
        options: ``None`` or an empty dict.
        disable: return ``model`` unchanged.
        max_cached: how many signatures are kept, the most recently used.

    Raises:
        UnsupportedError: another value of ``dynamic``, ``backend``, ``mode`` or ``options``.
        GradError: in ``backward`` of a gradient: gradients of gradients are not supported.

    >>> import weft as wf
    >>> model = wf.compile(wf.nn.Linear(2, 1))
    >>> model(wf.ones(4, 2)).sum().backward()
    >>> model.weight.grad
    tensor([[4., 4.]])
    >>> @wf.compile
    ... def f(x):
    ...     return (x.sin() * x).sum()
    >>> x = wf.tensor([0.0, 1.0], requires_grad=True)
    >>> f(x).backward()
    >>> x.grad
    tensor([0.0000, 1.3818])
    """
    for name, given, allowed in (
        ("dynamic", dynamic, (None, False)), ("backend", backend, (None, "inductor")),
        ("mode", mode, MODES), ("options", options, (None, {})),
    ):  # fmt: skip
        if given not in allowed:
            raise UnsupportedError(
                mistake("compile", name, repr(given), " or ".join(map(repr, allowed)), "leave it out")
            )
    if model is None:
        return lambda function: compile(function, disable=disable, max_cached=max_cached)
    if disable:
        return model
    if isinstance(model, Module):
        return compiled_module(model, max_cached)
    return CompiledFunction(model, max_cached)
