"""``compile``: a function or a module that is traced, compiled and replayed, and takes part in eager autograd.

What ``jit`` does for whole steps, for a part of one: the results have a history, and ``backward`` runs a second
compiled graph. A module stays a module: the compiled one shares everything with it but how ``forward`` runs.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from weft.compiler.jit import JitFunction
from weft.errors import ArgumentTypeError, UnsupportedError, mistake
from weft.nn.module import Module


class CompiledFunction(JitFunction):
    """What ``compile`` gives for a function. ``compilations`` counts the signatures that were compiled."""

    deriving = True

    def __init__(self, fn: Callable[..., Any], max_cached: int) -> None:
        super().__init__(fn, (), max_cached, True)

    def _alike(self, fn: Callable[..., Any]) -> CompiledFunction:
        return CompiledFunction(fn, self.max_cached)

    @staticmethod
    def _made_again(*options: Any) -> CompiledFunction:
        return CompiledFunction(*options)

    def _options(self) -> tuple[Any, ...]:
        return (self.max_cached,)

    def __repr__(self) -> str:
        return f"<compiled {self.__name__}: {len(self._programs)} programs>"


def compiled_module(module: Module, max_cached: int) -> Module:
    """A module of a class derived from the module's, on the same attributes, whose ``forward`` is compiled."""
    kind = type(module)
    original = kind.__dict__.get("_compiled_from")
    if original is not None:
        raise ArgumentTypeError(
            mistake("compile", "model", f"a compiled {original.__name__}", "one that is not compiled")
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
"""PyTorch's wishes for speed."""


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
    """Compile a function or a module: called as before, with gradients as before, run as two compiled graphs.

    As ``torch.compile``. A call is traced once for each kind of arguments (``weft.jit`` tells which) and replayed;
    ``backward`` replays the graph of the gradients. Tensors that lie between the two are chosen to take little memory:
    what is cheap to compute is computed again, but no product, convolution, fold or random number. Parameters and
    buffers reached by closure get their gradients and changes as ever. Of a module everything is shared, hooks and
    ``state_dict`` included; only ``forward`` is compiled. Hooks of its submodules run when it is traced.

    Results do not share memory with arguments or with each other. Under ``no_grad`` there is one graph, without what
    gradients would need; inside of a ``jit`` the function is part of that. ``max_cached``: signatures kept.
    ``fullgraph`` is always so; ``disable`` gives ``model`` back. ``mode`` takes PyTorch's wishes for speed, which
    change nothing here. Other values of ``backend``, ``mode``, ``dynamic`` and ``options`` than PyTorch's own default
    raise ``UnsupportedError``; so does a gradient of a gradient, as ``GradError``.

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
