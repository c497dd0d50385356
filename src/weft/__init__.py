"""weft: a tensor stack whose kernels are generated for WebGPU and the CPU from one op table.

Names are loaded at their first use (PEP 562): importing weft loads neither a driver nor a numerical library.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_MODULES = (
    "accelerator", "amp", "autograd", "backends", "codegen", "compiler", "cuda", "custom", "devices", "distributed",
    "distributions", "dtypes", "elements", "engine", "errors", "expr", "func", "graph", "hub", "io", "kernels",
    "linalg", "metatensor", "models", "mps", "nn", "onnx", "ops", "optim", "profiler", "random", "special", "target",
    "tensors", "utils", "version",
)  # fmt: skip
_DTYPES = (
    "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint32", "uint8",
)  # fmt: skip
_ALIASES = {
    "double": "float64",
    "float": "float32",
    "half": "float16",
    "long": "int64",
    "int": "int32",
    "short": "int16",
    "bool": "bool_",
}
_ABSENT_TYPES = {
    **dict.fromkeys(("uint16", "uint64"), "uint32 or int64"),
    **dict.fromkeys(
        ("cdouble", "cfloat", "chalf", "complex32", "complex64", "complex128"),
        "two float32 tensors, of real and imaginary parts",
    ),
}  # fmt: skip
"""Data types of PyTorch that weft lacks, with the replacements that error messages suggest."""
_FROM = {
    "weft.tensors.constants": (
        "channels_last", "channels_last_3d", "contiguous_format", "dtype", "e", "inf", "layout", "memory_format", "nan",
        "newaxis", "pi", "preserve_format", "strided",
    ),
    "weft.tensors.described": ("Size", "broadcast_shapes", "device"),
    "weft.tensors.legacy": (
        "BFloat16Tensor", "BoolTensor", "ByteTensor", "CharTensor", "DoubleTensor", "FloatTensor", "HalfTensor",
        "IntTensor", "LongTensor", "ShortTensor",
    ),
    "weft.tensors.ranges": ("finfo", "iinfo"),
    "weft.tensors.tensor": ("Tensor", "tensor"),
    "weft.tensors.creation": (
        "arange", "as_tensor", "empty", "empty_like", "eye", "from_numpy", "full", "full_like", "linspace", "logspace",
        "ones",         "ones_like", "tril_indices", "triu_indices", "zeros", "zeros_like",
    ),
    "weft.tensors.exchange": ("from_dlpack",),
    "weft.tensors.printing": ("get_printoptions", "set_printoptions"),
    "weft.tensors.settings": (
        "are_deterministic_algorithms_enabled", "get_default_device", "get_default_dtype",
        "get_float32_matmul_precision", "get_num_interop_threads", "get_num_threads", "is_complex",
        "is_floating_point", "is_tensor", "numel", "promote_types", "result_type", "set_default_device",
        "set_default_dtype", "set_float32_matmul_precision", "set_num_interop_threads", "set_num_threads",
        "synchronize", "use_deterministic_algorithms",
    ),
    "weft.amp": ("autocast", "get_autocast_dtype", "is_autocast_enabled"),
    "weft.autograd": (
        "enable_grad", "inference_mode", "is_grad_enabled", "is_inference_mode_enabled", "no_grad", "set_grad_enabled",
    ),
    "weft.random": (
        "Generator", "bernoulli", "initial_seed", "manual_seed", "multinomial",
        "normal", "rand", "rand_like", "randint", "randn",
        "randn_like", "randperm", "seed",
    ),
    "weft.custom": ("register_kernel",),
    "weft.compiler.captures": ("capture",),
    "weft.compiler.compile": ("compile",),
    "weft.compiler.debug": ("debug",),
    "weft.compiler.explain": ("explain",),
    "weft.compiler.jit": ("jit",),
    "weft.compiler.training": ("compile_training",),
    "weft.compiler.training_forward": ("compile_forward",),
    "weft.engine.engine": ("Engine",),
    "weft.io.files": ("load", "save"),
    "weft.dtypes": _DTYPES,
}  # fmt: skip
_SOURCE = {name: module for module, names in _FROM.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _SOURCE:
        value = getattr(import_module(_SOURCE[name]), name)
    elif name in _ALIASES:
        value = getattr(import_module("weft.dtypes"), _ALIASES[name])
    elif name in _MODULES:
        return import_module(f"weft.{name}")
    else:
        if name.startswith("__"):
            raise AttributeError(f"module 'weft' has no attribute {name!r}")
        if name in _ABSENT_TYPES:
            absent = import_module("weft.errors").AbsentError
            raise absent(f"weft.{name}: is not a data type of weft, expected {_ABSENT_TYPES[name]}")
        functions = import_module("weft.ops").FUNCTIONS
        if name not in functions or not functions[name].top:
            raise AttributeError(f"module 'weft' has no attribute {name!r}")
        import_module("weft.tensors")
        value = functions[name].function
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    functions = import_module("weft.ops").FUNCTIONS
    top = [name for name, spec in functions.items() if spec.top]
    return sorted({"__version__", *_MODULES, *_SOURCE, *_ALIASES, *top})
