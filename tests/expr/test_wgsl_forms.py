"""The WGSL forms of expressions have the same values, and leave no product and sum to contract."""

from __future__ import annotations

import numpy as np
import pytest

from weft.dtypes import float32
from weft.expr import FUNCTIONS, definition, evaluate, parse, walk
from weft.expr.wgsl_forms import wgsl_form
from weft.ops.optimizers.updates import ADAM, _adam

TYPES = dict.fromkeys("xyzw", float32)
SOURCES = (
    "x * y + z", "z + x * y", "x * y - z", "z - x * y", "x * y - z * w", "-(x * y) + z", "z - -(x * y)", "z - 2.0 * x",
    "maximum(x, 0.5)", "minimum(-1.0, x)", "maximum(minimum(x, 2.0), -2.0)", "x / 3.0", "x / 1e-40", "x / y",
)  # fmt: skip


@pytest.mark.parametrize("source", SOURCES)
def test_forms_keep_values(source: str) -> None:
    rng = np.random.default_rng(0)
    values = {name: rng.standard_normal(1000).astype("float32") for name in "xyzw"}
    values["x"][:3] = np.nan, np.inf, -np.inf
    plain = parse(source, TYPES)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(
            evaluate(wgsl_form(plain), values), evaluate(plain, values), rtol=1e-6, atol=1e-6
        )


def test_a_difference_with_itself_stays_zero() -> None:
    plain = parse("x * y - x * y", TYPES)
    assert wgsl_form(plain) is plain


def test_no_sum_has_a_product_that_a_driver_could_fuse() -> None:
    """NVIDIA's driver contracted a formula differently in two kernels, so that traced and eager Adam steps differed."""
    names = ("lr", "step", "one_minus_beta1", "log_beta1", "p", "g", "m", "v")
    options = ("beta2", "one_minus_beta2", "log_beta2", "eps", "weight_decay")
    types = dict.fromkeys((*names, *options), float32)
    attributes = {"maximize": False, "decoupled": True, "weight_decay": 0.1}
    roots = [parse(source, types) for source in _adam(attributes)]
    roots += [root for name in FUNCTIONS if (root := _definition(name)) is not None]
    assert ADAM.name == "adam_step"
    for root in roots:
        for node in walk(wgsl_form(root)):
            if (
                node.function in ("add", "sub")
                and node.dtype.kind == "float"
                and node.args[0] is not node.args[1]
            ):
                assert all(arg.function != "mul" for arg in node.args), node


def _definition(name: str):
    function = FUNCTIONS[name]
    return definition(name, (float32,) * len(function.parameters)) if function.kinds.startswith("f") else None
