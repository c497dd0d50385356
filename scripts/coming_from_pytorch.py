"""Writes the tables of ``docs/coming-from-pytorch.md``: which of PyTorch's public names weft has, and which it lacks.

The page up to the marker is written by hand; what follows it comes from an installed PyTorch and from weft. ``--check``
writes nothing. It fails where the page promises a name that weft lacks, or leaves out one that PyTorch has; names that
came since the page was written are printed, and fail with ``--strict`` only, so that adding one needs no other edit.
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
import types
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent.parent / "docs" / "coming-from-pytorch.md"
MARKER = "<!-- What follows is written by scripts/coming_from_pytorch.py. -->"
WIDTH = 118

MODULES = (
    "torch", "torch.Tensor", "torch.nn", "torch.nn.functional", "torch.nn.init", "torch.nn.utils", "torch.optim",
    "torch.optim.lr_scheduler", "torch.linalg", "torch.special", "torch.autograd", "torch.autograd.functional",
    "torch.func", "torch.distributions", "torch.utils.data",
)  # fmt: skip
"""The compared modules of PyTorch, and its tensor class."""

LEFT_OUT = {
    "CUDA and other vendors' libraries": r"cuda|cudnn|miopen|mkldnn|mps|xpu|ipu|xla|hpu|vulkan|gpu|pin_memory|"
    r"is_pinned|^has_(mkl|lapack|openmp|spectral)",
    "quantised tensors": r"quant(?!ile)|^q_|^qint|^quint|qscheme|^qr_|fbgemm|^int_repr|fake_|choose_qparams",
    "sparse and nested tensors": r"sparse|^(crow|ccol|row|col)_indices|^to_(dense|mkldnn|padded)|^coalesce|"
    r"is_coalesced|^(h|ss?)?s?pmm$|^s?smm$|^sspaddmm$|^saddmm$|^hsmm$|^dsmm$|^indices$|^values$|nested|^masked_(coo|grad)",
    "complex numbers": r"complex|conj|^real$|^imag$|^polar$|^angle$|^adjoint$|^c(double|float|half)$|^mH$|^H$|isreal|"
    r"resolve_neg|is_neg$|_as_real$",
    "Fourier transforms": r"fft|^i?stft$|_window$|spectral",
    "symbolic shapes": r"^sym_|^Sym|_symint$",
    "storages, scripts and what is inside PyTorch": r"Storage|storage|^(fork|wait|import_ir|parse_|"
    r"merge_type|unify_type)|^(batch_norm_(stats|elemt|gather|backward|update)|native_|sym_|fused_|cpp$|vitals|obj$|hash_tensor)|Script|"
    r"^is_(distributed|shared)|share_memory_|^(autocast_(in|de)crement|clear_autocast|init_num_threads)|"
    r"^(rename|names|align|refine_names|has_names)|dim_order|^module_load|^(reinforce|dispatch)|^handle_torch|"
    r"_torch_function|^assert_int|^boolean_dispatch|^TYPE_CHECKING|^DType$|^Callable$|^(Optional|List|Tuple|Union)$",
    "types of few bits": r"^(u?int[1-7]|bits?\d.*|bit|float8_.*|float4_.*)$",
    "copies of views by another name": r"_copy$|^unsafe_|^alias",
}
"""Groups of names that are not compared, each with the pattern of its names."""


@dataclass(frozen=True)
class Comparison:
    """The names of a module of PyTorch that weft has, and those that weft lacks."""

    module: str
    present: tuple[str, ...]
    absent: tuple[str, ...]


def group_of(name: str) -> str | None:
    """Return the group that a name belongs to, or None."""
    return next((group for group, pattern in LEFT_OUT.items() if re.search(pattern, name)), None)


def resolved(path: str) -> Any:
    """Return the object with a dotted path, or None."""
    resolved: Any = import_module(path.partition(".")[0])
    for part in path.split(".")[1:]:
        if not hasattr(resolved, part):
            try:
                import_module(f"{resolved.__name__}.{part}")
            except (ImportError, AttributeError):
                return None
        resolved = getattr(resolved, part, None)
    return resolved


def documented(owner: Any, name: str, value: Any) -> bool:
    """Return whether a name is public and documented: a type, a value of a type, or an object with a docstring."""
    import torch

    if name.startswith("_") or isinstance(value, types.ModuleType):
        return False
    if isinstance(value, torch.dtype):
        return True
    origin = getattr(value, "__module__", None) or ""
    if origin.startswith("typing") or (isinstance(value, type) and origin.startswith("torch._C")):
        return False
    if owner is torch and isinstance(value, type) and origin == "torch" and value.__name__ != "Size":
        return value.__qualname__ in (
            "Generator",
            "device",
            "dtype",
            "layout",
            "memory_format",
            "finfo",
            "iinfo",
        )
    return (
        callable(value)
        and bool(value.__doc__ or origin == "torch.functional")
        or isinstance(value, property)
        or (owner is torch.Tensor and bool(getattr(value, "__doc__", None)))
    )


def names_of(path: str) -> tuple[str, ...]:
    """Return the documented public names of a module of PyTorch that belong to no group, sorted."""
    owner = resolved(path)
    listed = getattr(owner, "__all__", None) or [
        name for name in dir(owner) if str(getattr(getattr(owner, name), "__module__", "")).startswith("torch")
        or path in ("torch.Tensor", "torch.linalg", "torch.special", "torch.nn.functional")
    ]  # fmt: skip
    public = (
        name for name in set(listed) if hasattr(owner, name) and documented(owner, name, getattr(owner, name))
    )
    return tuple(sorted(name for name in public if group_of(name) is None))


def has(path: str, name: str) -> bool:
    """Return whether weft has a name of a module of PyTorch."""
    owner = resolved("weft" + path.removeprefix("torch"))
    return owner is not None and hasattr(owner, name)


def compare(path: str) -> Comparison:
    """Return which names of a module of PyTorch weft has and lacks."""
    names = names_of(path)
    present = tuple(name for name in names if has(path, name))
    return Comparison(path, present, tuple(name for name in names if name not in present))


def listing(names: tuple[str, ...]) -> list[str]:
    """Return names in code marks as wrapped lines."""
    text = ", ".join(f"`{name}`" for name in names)
    return textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False) or ["None."]


def generated(comparisons: list[Comparison]) -> str:
    """Return the tables as Markdown."""
    import torch

    version = torch.__version__.partition("+")[0]
    groups = "; ".join(LEFT_OUT)
    lines = [
        MARKER,
        "",
        "## Names",
        "",
        *textwrap.wrap(
            f"Compared are the documented public names of PyTorch {version}. Left out are private names and these "
            f"groups: {groups}.",
            WIDTH,
        ),
        "",
        "| module | names | in weft | absent |",
        "| --- | --- | --- | --- |",
        *(
            f"| `{row.module}` | {len(row.present) + len(row.absent)} | {len(row.present)} | {len(row.absent)} |"
            for row in comparisons
        ),
    ]
    for comparison in comparisons:
        lines += ["", f"### `{comparison.module}`", "", "Absent:", "", *listing(comparison.absent), ""]
        lines += ["In weft:", "", *listing(comparison.present)]
    return "\n".join(lines) + "\n"


def claims(text: str) -> Iterator[Comparison]:
    """Iterate over the comparisons that the page contains."""
    for section in re.split(r"^### ", text.partition(MARKER)[2], flags=re.M)[1:]:
        heading, _, rest = section.partition("\n")
        absent, _, present = rest.partition("In weft:")
        yield Comparison(
            heading.strip("` "), tuple(re.findall(r"`(\w+)`", present)), tuple(re.findall(r"`(\w+)`", absent))
        )


def faults(text: str) -> Iterator[str]:
    """Iterate over the mistakes of the page: names that weft lacks, and names that the page leaves out."""
    claimed = {comparison.module: comparison for comparison in claims(text)}
    for path in MODULES:
        if path not in claimed:
            yield f"{path} has no section"
            continue
        missing = [name for name in claimed[path].present if not has(path, name)]
        if missing:
            yield f"{path}: the page says that weft has {', '.join(missing)}"
        unnamed = set(names_of(path)) - {*claimed[path].present, *claimed[path].absent}
        if unnamed:
            yield f"{path}: the page leaves out {', '.join(sorted(unnamed))}"


def main() -> None:
    """Write the tables, or with ``--check`` fail if they are wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail where the page is wrong")
    parser.add_argument(
        "--strict", action="store_true", help="with --check: fail for names that came since, too"
    )
    arguments = parser.parse_args()
    text = PAGE.read_text(encoding="utf-8")
    if arguments.check:
        mistakes = list(faults(text))
        added = [
            f"{comparison.module}.{name}"
            for comparison in claims(text)
            for name in comparison.absent
            if has(comparison.module, name)
        ]
        if added:
            print(f"in weft by now: {', '.join(added)}")
        if mistakes or added and arguments.strict:
            sys.exit(
                "\n".join(
                    [*mistakes, "run `python scripts/coming_from_pytorch.py` and commit what it writes"]
                )
            )
        print("up to date" if not added else "older than weft, and right")
        return
    PAGE.write_text(
        text.partition(MARKER)[0] + generated([compare(path) for path in MODULES]), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
