"""The gallery: each file trains a small model, draws and measures it; run ``python -m examples.sine``, for example."""

from importlib.util import find_spec

_missing = [name for name in ("matplotlib", "sklearn", "weft") if find_spec(name) is None]
if _missing:
    raise ModuleNotFoundError(
        f"the examples need {' and '.join(_missing)}, which this Python lacks; `make demo` sets .venv up, and "
        f".venv/bin/python -m examples.sine runs an example (or: pip install -e '.[examples]')"
    )
