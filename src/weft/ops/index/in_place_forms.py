"""``both_forms``: registers a function together with its in-place form."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from weft.ops.registry.functions import Precision, function, in_place_doc


def both_forms(
    name: str, function_: Callable[..., Any], out: bool = True, autocast: Precision | None = None
) -> None:
    """Register ``name``, which takes ``out=`` if ``out``, and ``name_``; ``function_`` takes ``into`` to overwrite."""
    own = inspect.signature(function_)
    kept = [parameter for parameter in own.parameters.values() if parameter.name != "into"]

    def register(into: bool, key: str, doc: str) -> None:
        @functools.wraps(function_)
        def form(*given: Any, **named: Any) -> Any:
            return function_(*given, **named, into=into)

        form.__name__ = form.__qualname__ = key
        form.__doc__ = doc
        form.__signature__ = own.replace(parameters=kept)  # type: ignore[attr-defined]
        del form.__wrapped__
        form.__annotations__ = {n: a for n, a in function_.__annotations__.items() if n != "into"}
        precision = None if into else autocast
        function(name=key, top=not into, out=out and not into, autocast=precision)(form)

    register(False, name, function_.__doc__ or "")
    register(True, f"{name}_", in_place_doc(name))
