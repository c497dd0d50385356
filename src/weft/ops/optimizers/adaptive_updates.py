"""The update formulas of Adamax, NAdam, RAdam, Adadelta, Rprop and ASGD; ``updates`` builds their kernels."""

from __future__ import annotations

from typing import Any

from weft.ops.optimizers.updates import MOMENTS, _descent, declare_update


def _decayed(attributes: dict[str, Any]) -> str:
    """Return the lines of the direction ``d`` and of ``q``, the parameter after decoupled weight decay."""
    decoupled = attributes["decoupled"]
    decay = "q = p - lr * weight_decay * p\n" if decoupled and attributes["weight_decay"] else "q = p\n"
    return _descent(attributes, coupled=not decoupled) + decay


_MOMENTS = "a = m + (d - m) * one_minus_beta1\nb = v * beta2 + one_minus_beta2 * d * d\n"


def _adamax(attributes: dict[str, Any]) -> list[str]:
    """Kingma and Ba 2015, section 7.1."""
    lines = _descent(attributes) + "a = m + (d - m) * one_minus_beta1\nb = maximum(v * beta2, abs(d) + eps)\n"
    return [f"{lines}c1 = -expm1(step * log_beta1)\np - lr / c1 * a / b", f"{lines}a", f"{lines}b"]


_MOMENTUM = "k = (1.0 - one_minus_beta1) * (1.0 - 0.5 * exp(step * log_decay))\n"


def _nadam(attributes: dict[str, Any]) -> list[str]:
    """Dozat 2016; ``u`` is the product of the momenta of all steps, this step's included."""
    lines = _decayed(attributes) + _MOMENTS + _MOMENTUM
    lines += "n = (1.0 - one_minus_beta1) * (1.0 - 0.5 * exp((step + 1.0) * log_decay))\n"
    lines += "h = sqrt(b / -expm1(step * log_beta2)) + eps\n"
    step = f"{lines}q - lr * (1.0 - k) / (1.0 - u) * d / h - lr * n / (1.0 - u * n) * a / h"
    return [step, f"{lines}a", f"{lines}b"]


def _radam(attributes: dict[str, Any]) -> list[str]:
    """Liu et al. 2020. ``r``, the length of the average, decides whether the step is adaptive.

    ``r = rho_inf - 2 t beta2^t / (1 - beta2^t)`` loses digits where ``x = -t log(beta2)`` is small, and is computed
    there by the series of ``1 / (e^x - 1)``.
    """
    lines = _decayed(attributes) + _MOMENTS
    lines += "x = -step * log_beta2\nc1 = -expm1(step * log_beta1)\nc2 = -expm1(-x)\ny = x * x\n"
    lines += "s = x / 12.0 * (1.0 - y / 60.0 * (1.0 - y / 42.0 * (1.0 - y / 40.0)))\n"
    lines += "far = rho_inf - 2.0 * step * (1.0 - c2) / c2\n"
    lines += "r = rho_rest + step - 2.0 * step * s if x < 0.25 else far\n"
    lines += "rectified = sqrt((r - 4.0) * (r - 2.0) * rho_scale / r) * sqrt(c2) / (sqrt(b) + eps)\n"
    return [f"{lines}q - lr / c1 * a * (rectified if r > 5.0 else 1.0)", f"{lines}a", f"{lines}b"]


def _adadelta(attributes: dict[str, Any]) -> list[str]:
    """Zeiler 2012."""
    lines = _descent(attributes) + "b = s * rho + one_minus_rho * d * d\n"
    lines += "k = sqrt(a + eps) / sqrt(b + eps) * d\n"
    return [f"{lines}p - lr * k", f"{lines}b", f"{lines}a * rho + one_minus_rho * k * k"]


def _rprop(attributes: dict[str, Any]) -> list[str]:
    """Riedmiller and Braun 1993: where the gradient changed sign, no step is taken, and its saved value is 0."""
    lines = _descent(attributes, coupled=False)
    lines += "r = d * b\nf = grow if r > 0.0 else (shrink if r < 0.0 else 1.0)\n"
    lines += "n = minimum(maximum(w * f, least), most)\nk = 0.0 if r < 0.0 else d\n"
    return [f"{lines}p - sign(k) * n", f"{lines}k", f"{lines}n"]


def _asgd(attributes: dict[str, Any]) -> list[str]:
    """Polyak and Juditsky 1992: ``a`` is the average of the parameters."""
    lines = _descent(attributes) + "q = p * (1.0 - lambd * eta) - eta * d\n"
    return [f"{lines}q", f"{lines}q if mu >= 1.0 else a + (q - a) * mu"]


_DECOUPLED = "beta2 one_minus_beta2 log_beta2 eps weight_decay maximize decoupled"
_TWO = ("p", "g", "m", "v"), ("p", "m", "v")
ADAMAX = declare_update(
    "adamax_step", MOMENTS, *_TWO, _adamax, "beta2 eps weight_decay maximize", "A step of Adamax."
)
NADAM = declare_update(
    "nadam_step",
    ("lr", "step", "one_minus_beta1", "u"),
    *_TWO,
    _nadam,
    f"{_DECOUPLED} log_decay",
    "A step of NAdam.",
)
NADAM_MOMENTUM = declare_update(
    "nadam_momentum",
    ("step", "one_minus_beta1"),
    ("u",),
    ("u",),
    lambda attributes: [f"{_MOMENTUM}u * k"],
    "log_decay",
    "The product of NAdam's momenta after one more step.",
)
RADAM = declare_update(
    "radam_step", MOMENTS, *_TWO, _radam, f"{_DECOUPLED} rho_inf rho_rest rho_scale", "A step of RAdam."
)
ADADELTA = declare_update(
    "adadelta_step",
    ("lr",),
    ("p", "g", "s", "a"),
    ("p", "s", "a"),
    _adadelta,
    "rho one_minus_rho eps weight_decay maximize",
    "A step of Adadelta.",
)
RPROP = declare_update(
    "rprop_step",
    (),
    ("p", "g", "b", "w"),
    ("p", "b", "w"),
    _rprop,
    "grow shrink least most maximize",
    "A step of Rprop.",
)
ASGD = declare_update(
    "asgd_step",
    ("eta", "mu"),
    ("p", "g", "a"),
    ("p", "a"),
    _asgd,
    "lambd weight_decay maximize",
    "A step of averaged SGD.",
)
ASGD_RATES = declare_update(
    "asgd_rates",
    ("lr", "step"),
    ("e", "u"),
    ("e", "u"),
    lambda attributes: [
        "lr / pow(1.0 + lambd * lr * step, alpha)",
        "1.0 / maximum(step - t0, 1.0)",
    ],
    "lambd alpha t0",
    "The rates of averaged SGD's next step.",
)
