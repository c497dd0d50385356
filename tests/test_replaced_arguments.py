"""Wrong arguments of functions and classes that are not in the table of functions.

These create, draw, initialise and clip; or they are optimizers, schedules, distributions, loaders and samplers. Each
call returns a result or raises a ``WeftError``; the process, the parameters and the optimizers stay unchanged.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import weft as wf
from tests.replaced import outcome, unchanged_process, wrong_outcomes
from weft.devices import Device
from weft.errors import WeftError

GROUPS: dict[str, tuple[Any, list[str]]] = {
    "creation": (wf, [
        "arange", "as_tensor", "empty", "empty_like", "eye", "from_numpy", "full", "full_like", "linspace", "logspace",
        "ones", "ones_like", "tensor", "tril_indices", "triu_indices", "zeros", "zeros_like",
    ]),
    "random": (wf, [
        "Generator", "bernoulli", "manual_seed", "multinomial", "normal", "rand", "rand_like", "randint", "randn",
        "randn_like", "randperm",
    ]),
    "settings": (wf, [
        "broadcast_shapes", "finfo", "iinfo", "is_complex", "is_floating_point", "numel", "promote_types",
        "set_default_device", "set_default_dtype", "set_float32_matmul_precision", "set_num_threads",
        "use_deterministic_algorithms", "synchronize", "set_printoptions",
    ]),
    "init": (wf.nn.init, [name for name in dir(wf.nn.init) if name.endswith("_") and name[0] != "_"] + ["calculate_gain"]),
    "nn.utils": (wf.nn.utils, [
        name for name, value in vars(wf.nn.utils).items()
        if name[0] != "_" and inspect.isfunction(value) and value.__module__ == wf.nn.utils.gradients.__name__
    ]),
    "autograd": (wf.autograd, ["grad", "backward"]),
    "optim": (wf.optim, [
        name for name in wf.optim.__all__
        if isinstance(getattr(wf.optim, name), type) and issubclass(getattr(wf.optim, name), wf.optim.Optimizer)
        and name != "Optimizer"
    ]),
    "lr_scheduler": (wf.optim.lr_scheduler, [
        name for name in wf.optim.lr_scheduler.__all__
        if isinstance(getattr(wf.optim.lr_scheduler, name), type) and name != "LRScheduler"
    ]),
    "distributions": (wf.distributions, [
        name for name in wf.distributions.__all__ if isinstance(getattr(wf.distributions, name), type)
    ]),
    "data": (wf.utils.data, [
        "BatchSampler", "ChainDataset", "ConcatDataset", "DataLoader", "RandomSampler", "SequentialSampler", "Subset",
        "SubsetRandomSampler", "WeightedRandomSampler", "random_split", "default_collate",
    ]),
}  # fmt: skip
"""The public names by group."""


def parameter() -> Any:
    weight = wf.nn.Parameter(wf.tensor([[1.0, -2.0], [0.5, 4.0]]))
    weight.grad = wf.ones(2, 2)
    return weight


def optimizer() -> Any:
    return wf.optim.SGD([parameter()], lr=0.5, momentum=0.5)


def schedulers() -> Any:
    shared = optimizer()
    return [wf.optim.lr_scheduler.StepLR(shared, 2), wf.optim.lr_scheduler.ConstantLR(shared, 0.5)]


VALUES: dict[str, Callable[[], Any]] = {
    "T_0": lambda: 3, "concentration": lambda: wf.tensor([0.5, 2.0]), "concentration0": lambda: 2.0,
    "concentration1": lambda: 0.5, "df": lambda: 2.0, "T_max": lambda: 3, "array": lambda: np.ones(3), "base_distribution": lambda: wf.distributions.Normal(
        wf.zeros(3), wf.ones(3)), "base_lr": lambda: 0.1, "batch_size": lambda: 2, "col": lambda: 3, "data": lambda: [1.0, 2.0],
    "d": lambda: wf.float32, "device": lambda: "cpu", "dataset": lambda: [1, 2, 3, 4], "datasets": lambda: [[1, 2], [3]], "data_source": lambda: [1, 2, 3, 4],
    "drop_last": lambda: False, "end": lambda: 3, "fill_value": lambda: 2.0, "gamma": lambda: 0.5,
    "generator": lambda: wf.Generator("cpu"), "high": lambda: 4.0, "indices": lambda: [0, 1], "input": lambda: wf.tensor([0.25, 0.5]),
    "lengths": lambda: [2, 2], "loc": lambda: wf.zeros(2), "low": lambda: 1.0, "lr_lambda": lambda: lambda step: 0.5,
    "max_lr": lambda: 0.5, "max_norm": lambda: 1.0, "mean": lambda: 0.5, "milestones": lambda: [2], "mode": lambda: True,
    "n": lambda: 3, "num": lambda: 1, "num_samples": lambda: 2, "optimizer": optimizer, "outputs": lambda: parameter().sum(),
    "parameters": lambda: [parameter()], "params": lambda: [parameter()], "clip_value": lambda: 0.5, "precision": lambda: "high",
    "rate": lambda: 0.5, "reinterpreted_batch_ndims": lambda: 1, "row": lambda: 3, "sampler": lambda: [0, 1, 2],
    "scale": lambda: wf.ones(2), "schedulers": schedulers, "seed": lambda: 3, "size": lambda: (2, 2), "start": lambda: 1,
    "std": lambda: 0.5, "step_size": lambda: 2, "steps": lambda: 3, "tensor": lambda: parameter(), "tensors": lambda: parameter(),
    "total_norm": lambda: wf.tensor(2.0), "type1": lambda: wf.float32, "type2": lambda: wf.int64, "vec": lambda: wf.ones(4),
    "weights": lambda: [0.5, 0.5, 1.0], "val": lambda: 0.5, "nonlinearity": lambda: "relu", "batch": lambda: [1, 2],
    "replacement": lambda: True, "type": lambda: wf.float32, "from_": lambda: wf.float32, "to": lambda: wf.float32,
}  # fmt: skip
"""Valid values of arguments, by name."""
NEEDED: dict[str, dict[str, Callable[[], Any]]] = {
    "Bernoulli": {"probs": lambda: wf.tensor([0.5, 0.25])}, "Categorical": {"probs": lambda: wf.tensor([0.5, 0.25])},
    "OneHotCategorical": {"probs": lambda: wf.tensor([0.5, 0.25])}, "OneCycleLR": {"total_steps": lambda: 4},
    "MultivariateNormal": {"scale_tril": lambda: wf.eye(2)}, "randint": {"high": lambda: 4, "low": lambda: 0, "size": lambda: (2,)},
    "dirac_": {"tensor": lambda: wf.nn.Parameter(wf.ones(2, 2, 3))}, "ChainDataset": {"datasets": list},
    "SequentialLR": {"optimizer": lambda: None}, "arange": {"end": lambda: 4}, "backward": {"tensors": lambda: parameter().sum()},
    "random_split": {"dataset": lambda: [1, 2, 3, 4]}, "grad": {"outputs": lambda: wf.tensor([2.0], requires_grad=True), "inputs": lambda: None},
    "iinfo": {"type": lambda: wf.int32},
}  # fmt: skip
"""Valid values of further or other arguments of a function, by its name."""
NAMES = [(group, name) for group, (_, names) in GROUPS.items() for name in names]


def parameters_of(function: Any) -> dict[str, inspect.Parameter]:
    """Return the parameters that can be given by name."""
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = inspect.signature(function).parameters
    return {name: parameter for name, parameter in parameters.items() if parameter.kind in kinds}


def right_values(name: str, function: Any) -> dict[str, Any]:
    """Return new arguments with which a call succeeds."""
    needed = {
        key for key, parameter in parameters_of(function).items() if parameter.default is parameter.empty
    }
    special = NEEDED.get(name, {})
    values = {
        key: special[key]() if key in special else VALUES[key]() for key in sorted(needed | set(special))
    }
    if name == "grad":
        values["inputs"], values["outputs"] = values["outputs"], values["outputs"] * 2
    if name == "SequentialLR":
        values["optimizer"] = values["schedulers"][0].optimizer
    return values


@pytest.fixture(autouse=True)
def settings() -> Iterator[None]:
    """Restore the settings that a call may have changed."""
    threads, dtype = wf.get_num_threads(), wf.get_default_dtype()
    yield
    wf.set_num_threads(threads)
    wf.set_default_dtype(dtype)
    wf.set_grad_enabled(True)
    wf.use_deterministic_algorithms(False)
    wf.set_printoptions(profile="default")
    wf.set_float32_matmul_precision("highest")
    wf.set_default_device(None)


@pytest.mark.parametrize(("group", "name"), NAMES, ids=[f"{group}.{name}" for group, name in NAMES])
def test_replaced_arguments_give_a_result_or_a_weft_error(group: str, name: str, device: Device) -> None:
    function = getattr(GROUPS[group][0], name)
    with wf.device(device.name), unchanged_process(device.name):
        wrong = wrong_outcomes(function, lambda: right_values(name, function), parameters_of(function))
    assert not wrong, f"{name}:\n" + "\n".join(wrong)


def groups_of(optimizer: Any) -> list[dict[str, Any]]:
    """Return the options of an optimizer's groups, with its parameters as lists of numbers."""
    return [
        {**group, "params": [weight.tolist() for weight in group["params"]]}
        for group in optimizer.param_groups
    ]


@pytest.mark.parametrize("name", GROUPS["optim"][1])
def test_wrong_options_of_groups_leave_optimizers_as_they_were(name: str, device: Device) -> None:
    kind = getattr(wf.optim, name)
    with wf.device(device.name), unchanged_process(device.name):
        optimizer = kind([parameter()])
        before = groups_of(optimizer)
        for key in optimizer.defaults:
            for value in (b"bytes", [[1, 2], [3]], object(), 10**30):
                with pytest.raises(WeftError, match=key):
                    optimizer.param_groups[0][key] = value
                if name != "LBFGS":  # which has a single group
                    with pytest.raises(WeftError, match=key):
                        optimizer.add_param_group({"params": [parameter()], key: value})
        assert groups_of(optimizer) == before
        del optimizer


def test_options_of_groups_take_numpys_numbers() -> None:
    group = {"params": [parameter()], "momentum": np.float32(0.5), "lr": np.float32(0.25)}
    optimizer = wf.optim.SGD([group])
    optimizer.param_groups[0]["weight_decay"] = np.float64(0.5)
    optimizer.param_groups[0]["lr"] = np.float32(0.75)
    options = optimizer.param_groups[0]
    assert [type(options[key]) for key in ("momentum", "lr", "weight_decay")] == [float] * 3
    assert outcome(optimizer.step) is None
    # p - 0.75 * (1 + 0.5 * p)
    assert options["params"][0].tolist() == [[-0.125, -2.0], [-0.4375, 1.75]]
