"""The registry of library kernel templates, by language and name; templates lie in ``codegen.<language>.library``."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

from weft.errors import KernelError
from weft.kernels import Library
from weft.target import KernelSpec, TargetProfile

Template = Callable[[Library, TargetProfile], KernelSpec]
_TEMPLATES: dict[tuple[str, str], Template] = {}


def template(language: str, name: str) -> Callable[[Template], Template]:
    """Register the template of a library kernel for a language, ``"wgsl"`` or ``"llvm"``."""

    def register(function: Template) -> Template:
        _TEMPLATES[language, name] = function
        return function

    return register


def find(language: str, name: str) -> Template:
    """Return the template of a library kernel; its module is imported at the first call."""
    module = f"weft.codegen.{language}.library.{name}"
    if (language, name) not in _TEMPLATES and name.isidentifier() and find_spec(module) is not None:
        import_module(module)
    found = _TEMPLATES.get((language, name))
    if found is None:
        known = ", ".join(kernel for family, kernel in _TEMPLATES if family == language)
        raise KernelError(
            f"library kernel {name!r} has no template in {language}; loaded so far: {known or 'none'}"
        )
    return found
