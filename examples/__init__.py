"""The gallery: small models, each trained, drawn and measured in one file; ``python -m examples.sine`` runs one."""

from importlib.util import find_spec

_missing = [name for name in ("matplotlib", "sklearn", "weft") if find_spec(name) is None]
if _missing:
    raise ModuleNotFoundError(
        f"the examples need {' and '.join(_missing)}, which this Python lacks; `make demo` sets .venv up, and "
        f".venv/bin/python -m examples.sine runs an example (or: pip install -e '.[examples]')"
    )
