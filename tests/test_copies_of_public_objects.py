"""Every public class can be deep-copied and pickled, or is in ``NOT_COPIED`` with the reason.

The classes are found by walking the public names, so that a new one fails here until it has a sample or a reason.
"""

from __future__ import annotations

import copy
import inspect
import pickle
import threading
from collections.abc import Callable
from importlib import import_module
from types import FunctionType
from typing import Any

import pytest

import weft as wf
from weft.nn.module import Module
from weft.nn.parameter import Uninitialized
from weft.ops import FUNCTIONS

NAMESPACES = """
    weft weft.nn weft.nn.parallel weft.optim weft.optim.lr_scheduler weft.utils weft.utils.data weft.amp weft.random
    weft.distributions weft.autograd weft.version weft.profiler weft.compiler weft.custom weft.cuda.amp
""".split()
"""The namespaces of public classes."""


def public_classes() -> dict[str, type]:
    """Return the classes of these namespaces by name, each once."""
    found: dict[type, str] = {}
    for namespace in NAMESPACES:
        module = import_module(namespace)
        for name in getattr(module, "__all__", None) or [
            each for each in dir(module) if not each.startswith("_")
        ]:
            value = getattr(module, name)
            if (
                inspect.isclass(value)
                and value.__module__.startswith("weft")
                and not issubclass(value, Exception)
            ):
                found.setdefault(value, f"{namespace}.{name}".removeprefix("weft."))
    return {name: value for value, name in found.items()}


CLASSES = public_classes()


def trained() -> Any:
    """Return an optimizer that has taken a step."""
    parameter = wf.nn.Parameter(wf.ones(3))
    optimizer = wf.optim.SGD([parameter], lr=0.1, momentum=0.9)
    (parameter * parameter).sum().backward()
    optimizer.step()
    return optimizer


def optimizer(name: str) -> Callable[[], Any]:
    return lambda: getattr(wf.optim, name)([wf.nn.Parameter(wf.ones(3))], lr=0.1)


def schedule(name: str, *arguments: Any) -> Callable[[], Any]:
    return lambda: getattr(wf.optim.lr_scheduler, name)(trained(), *arguments)


def half(step: int) -> float:
    return 0.5**step


def of_schedules(name: str, *arguments: Any) -> Callable[[], Any]:
    def make() -> Any:
        kinds, shared = wf.optim.lr_scheduler, trained()
        both = [kinds.ConstantLR(shared, 0.5, 2), kinds.ExponentialLR(shared, 0.9)]
        return (
            kinds.SequentialLR(shared, both, [4]) if name == "SequentialLR" else kinds.ChainedScheduler(both)
        )

    return make


D, U = wf.distributions, wf.utils.data
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "AdaptiveAvgPool1d": (2,), "AdaptiveAvgPool2d": (2,), "AdaptiveAvgPool3d": (2,), "AdaptiveMaxPool1d": (2,),
    "AdaptiveMaxPool2d": (2,), "AdaptiveMaxPool3d": (2,), "Bilinear": (2, 3, 2), "Embedding": (3, 2),
    "EmbeddingBag": (3, 2), "GroupNorm": (2, 4), "LayerNorm": (3,), "RMSNorm": (3,), "Linear": (2, 3),
    "LocalResponseNorm": (2,), "MultiheadAttention": (4, 2), "Parameter": (), "PixelShuffle": (2,),
    "PixelUnshuffle": (2,), "Threshold": (0.1, 0.2), "Transformer": (4, 2, 1, 1, 8),
    "TransformerDecoderLayer": (4, 2, 8), "TransformerEncoderLayer": (4, 2, 8), "Unflatten": (1, (2, 2)),
    "Upsample": (None, 2), "ZeroPad1d": (1,), "ZeroPad2d": (1,), "ZeroPad3d": (1,), "ChannelShuffle": (2,),
    "ConstantPad1d": (1, 0.5), "ConstantPad2d": (1, 0.5), "ConstantPad3d": (1, 0.5), "Fold": ((4, 4), 2),
    "Unfold": (2,), "NonDynamicallyQuantizableLinear": (2, 2), "UpsamplingNearest2d": (None, 2),
    "UpsamplingBilinear2d": (None, 2), "LPPool1d": (2.0, 2), "LPPool2d": (2.0, 2), "LPPool3d": (2.0, 2),
}  # fmt: skip
"""Arguments of layers for which the patterns below do not work."""
PATTERNS: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("LazyBatchNorm", ()), ("LazyConv", (4, 3)), ("LazyLinear", (2,)),
    ("Conv", (2, 4, 3)), ("Pool", (2,)), ("BatchNorm", (3,)), ("InstanceNorm", (3,)), ("Cell", (2, 3)),
    ("Pad", (1,)), ("RNN", (2, 3)), ("LSTM", (2, 3)), ("GRU", (2, 3)),
)  # fmt: skip
SAMPLES: dict[str, Callable[[], Any]] = {
    "Generator": lambda: wf.Generator("cpu").manual_seed(7),
    "Size": lambda: wf.ones(2, 3).shape,
    "Tensor": lambda: wf.tensor([1.0, 2.0], requires_grad=True),
    "device": lambda: wf.device("webgpu", 1),
    "dtype": lambda: wf.bfloat16,
    "finfo": lambda: wf.finfo(wf.float16),
    "iinfo": lambda: wf.iinfo(wf.int8),
    "layout": lambda: wf.strided,
    "memory_format": lambda: wf.channels_last,
    "nn.Parameter": lambda: wf.nn.Parameter(wf.ones(2)),
    "nn.DataParallel": lambda: wf.nn.DataParallel(wf.nn.Linear(2, 2)),
    "nn.ModuleDict": lambda: wf.nn.ModuleDict({"a": wf.nn.Linear(2, 2)}),
    "nn.ModuleList": lambda: wf.nn.ModuleList([wf.nn.Linear(2, 2)]),
    "nn.ParameterDict": lambda: wf.nn.ParameterDict({"a": wf.nn.Parameter(wf.ones(2))}),
    "nn.ParameterList": lambda: wf.nn.ParameterList([wf.nn.Parameter(wf.ones(2))]),
    "nn.Sequential": lambda: wf.nn.Sequential(wf.nn.Linear(2, 2), wf.nn.ReLU()),
    "nn.TransformerDecoder": lambda: wf.nn.TransformerDecoder(wf.nn.TransformerDecoderLayer(4, 2, 8), 1),
    "nn.TransformerEncoder": lambda: wf.nn.TransformerEncoder(wf.nn.TransformerEncoderLayer(4, 2, 8), 1),
    "optim.ParamGroup": lambda: trained().param_groups[0],
    "optim.lr_scheduler.LambdaLR": schedule("LambdaLR", half),
    "optim.lr_scheduler.MultiplicativeLR": schedule("MultiplicativeLR", half),
    "optim.lr_scheduler.StepLR": schedule("StepLR", 2),
    "optim.lr_scheduler.MultiStepLR": schedule("MultiStepLR", [2, 3]),
    "optim.lr_scheduler.ConstantLR": schedule("ConstantLR"),
    "optim.lr_scheduler.LinearLR": schedule("LinearLR"),
    "optim.lr_scheduler.ExponentialLR": schedule("ExponentialLR", 0.9),
    "optim.lr_scheduler.PolynomialLR": schedule("PolynomialLR"),
    "optim.lr_scheduler.CosineAnnealingLR": schedule("CosineAnnealingLR", 4),
    "optim.lr_scheduler.CosineAnnealingWarmRestarts": schedule("CosineAnnealingWarmRestarts", 4),
    "optim.lr_scheduler.CyclicLR": schedule("CyclicLR", 0.1, 0.4),
    "optim.lr_scheduler.OneCycleLR": schedule("OneCycleLR", 0.4, 10),
    "optim.lr_scheduler.ReduceLROnPlateau": schedule("ReduceLROnPlateau"),
    "optim.lr_scheduler.SequentialLR": of_schedules("SequentialLR"),
    "optim.lr_scheduler.ChainedScheduler": of_schedules("ChainedScheduler"),
    "utils.data.BatchSampler": lambda: U.BatchSampler(range(5), 2, False),
    "utils.data.ChainDataset": lambda: U.ChainDataset([U.IterableDataset()]),
    "utils.data.ConcatDataset": lambda: U.ConcatDataset([[1, 2], [3]]),
    "utils.data.DataLoader": lambda: U.DataLoader([1, 2, 3], 2, shuffle=True, generator=wf.Generator("cpu")),
    "utils.data.Dataset": U.Dataset,
    "utils.data.IterableDataset": U.IterableDataset,
    "utils.data.RandomSampler": lambda: U.RandomSampler([1, 2], generator=wf.Generator("cpu")),
    "utils.data.Sampler": U.Sampler,
    "utils.data.SequentialSampler": lambda: U.SequentialSampler([1, 2]),
    "utils.data.Subset": lambda: U.Subset([1, 2, 3], [0, 2]),
    "utils.data.SubsetRandomSampler": lambda: U.SubsetRandomSampler([1, 2]),
    "utils.data.TensorDataset": lambda: U.TensorDataset(wf.ones(3, 2)),
    "utils.data.WeightedRandomSampler": lambda: U.WeightedRandomSampler([1.0, 2.0], 3),
    "utils.data.WorkerInfo": lambda: U.WorkerInfo(0, 1, 2, [3]),
    "amp.GradScaler": lambda: wf.amp.GradScaler("cpu", init_scale=8.0),
    "version.TorchVersion": lambda: wf.version.torch,
    "distributions.Bernoulli": lambda: D.Bernoulli(wf.tensor([0.5])),
    "distributions.Beta": lambda: D.Beta(wf.ones(2), 2.0),
    "distributions.Categorical": lambda: D.Categorical(wf.ones(3)),
    "distributions.Chi2": lambda: D.Chi2(wf.ones(2)),
    "distributions.Dirichlet": lambda: D.Dirichlet(wf.ones(3)),
    "distributions.Distribution": lambda: D.Distribution((2,), (3,)),
    "distributions.Exponential": lambda: D.Exponential(wf.ones(2)),
    "distributions.Gamma": lambda: D.Gamma(wf.ones(2), 1.0),
    "distributions.Independent": lambda: D.Independent(D.Normal(wf.zeros(2), wf.ones(2)), 1),
    "distributions.Laplace": lambda: D.Laplace(0.0, wf.ones(2)),
    "distributions.LogNormal": lambda: D.LogNormal(0.0, wf.ones(2)),
    "distributions.MultivariateNormal": lambda: D.MultivariateNormal(wf.zeros(2), scale_tril=wf.eye(2)),
    "distributions.Normal": lambda: D.Normal(0.0, wf.ones(2)),
    "distributions.OneHotCategorical": lambda: D.OneHotCategorical(wf.ones(3)),
    "distributions.StudentT": lambda: D.StudentT(wf.ones(2)),
    "distributions.Uniform": lambda: D.Uniform(0.0, wf.ones(2)),
    **{f"optim.{name}": optimizer(name) for name in (
        "SGD", "Adagrad", "Adam", "AdamW", "Lion", "RMSprop", "RAdam", "NAdam", "Adamax", "Adadelta", "Rprop", "ASGD", "LBFGS")},
}  # fmt: skip
IN_FORCE = "a mode that is in force in a block of code, and not kept"
COMPILED = "belongs to compiled code: the tests of the compiler say what of it is kept"
NOT_COPIED = {
    "autocast": IN_FORCE, "debug": IN_FORCE, "enable_grad": IN_FORCE, "inference_mode": IN_FORCE, "no_grad": IN_FORCE,
    "set_grad_enabled": IN_FORCE, "autograd.Function": "is not made: its methods are static",
    "autograd.Variable": "is not made: calling it gives a tensor",
    "nn.parallel.DistributedDataParallel": "is not made: making one raises",
    "nn.RNNBase": "is not made: a base class", "optim.Optimizer": "is not made: a base class", "optim.lr_scheduler.LRScheduler": "is not made: a base class",
    "utils.LatestOnly": "belongs to calls that are going on", "utils.SingleFlight": "belongs to calls that are going on",
    "cuda.amp.GradScaler": "is always off: as amp.GradScaler", "cuda.amp.autocast": IN_FORCE,
    "profiler.LeakReport": "reads what is alive in this process", "profiler.OpRow": "a row of a profile",
    "profiler.Profile": "belongs to work that is observed", "profiler.Site": "a place in running code",
    "custom.CustomKernel": "belongs to its registration in this process",
    "Engine": "answers requests that are going on: load it again",
}  # fmt: skip
"""Public classes without a copy, each with the reason."""


def sample(name: str) -> Any:
    if name in SAMPLES:
        return SAMPLES[name]()
    kind, short = CLASSES[name], name.rpartition(".")[2]
    if short in ARGUMENTS:
        return kind(*ARGUMENTS[short])
    for pattern, arguments in PATTERNS:
        if pattern in short:
            return kind(*arguments)
    return kind()


def left_out(name: str) -> str:
    """Return why a class is not copied here; empty if it is."""
    if name.startswith("compiler."):
        return COMPILED
    if name.endswith("Tensor") and name != "Tensor":
        return "is not made: calling it gives a tensor"
    return NOT_COPIED.get(name, "")


def describe(value: Any, seen: tuple[int, ...] = ()) -> Any:
    """Return the contents of an object as plain values: functions by name, without locks and weak references."""
    if isinstance(value, Uninitialized):  # it has no elements
        return repr(value), str(value.dtype), str(value.device), value.requires_grad
    if isinstance(value, wf.Tensor):
        return type(value).__name__, str(value.dtype), value.tolist(), value.requires_grad, value.__dict__
    if id(value) in seen:
        return "…"
    inside = (*seen, id(value))
    if isinstance(value, wf.Generator):
        return value.device, value.initial_seed(), value.get_state()
    if isinstance(value, dict):
        items = [(describe(key, inside), describe(item, inside)) for key, item in value.items()]
        return type(value).__name__, items
    if isinstance(value, list | tuple):
        return [describe(item, inside) for item in value]
    if isinstance(value, FunctionType | type):
        return value.__qualname__
    if type(value).__module__.startswith("weft") and hasattr(value, "__dict__") and value.__dict__:
        attributes = {
            key: attribute
            for key, attribute in sorted(vars(value).items())
            if not isinstance(attribute, type(threading.Lock()))
        }
        return type(value).__name__, describe(attributes, inside)
    return type(value).__name__ if repr(value).startswith("<") else repr(value)


HOW: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "oldest protocol": lambda value: pickle.loads(pickle.dumps(value, 2)),
}


@pytest.mark.filterwarnings("ignore:GradScaler")
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("name", [name for name in CLASSES if not left_out(name)])
def test_a_copy_holds_the_same(name: str, how: str) -> None:
    original = sample(name)
    expected = describe(original)
    copied = HOW[how](original)
    assert type(copied) is type(original)
    assert describe(copied) == expected
    if isinstance(original, Module):
        memory, copied_memory = (
            {
                tensor.data_ptr()
                for tensor in (*module.parameters(), *module.buffers())
                if not isinstance(tensor, Uninitialized)
            }
            for module in (original, copied)
        )
        assert not memory & copied_memory
        assert repr(copied) == repr(original)


def test_every_name_is_a_public_class() -> None:
    """Every sample and every reason belongs to an existing class."""
    assert set(SAMPLES) - set(CLASSES) == set()
    assert set(NOT_COPIED) - set(CLASSES) == set()
    assert not set(SAMPLES) & set(NOT_COPIED)
    assert len(CLASSES) > 150


def test_attributes_of_tensors_and_parameters() -> None:
    """As in PyTorch: a pickle and a shallow copy keep them, a deep copy of a parameter keeps no gradient."""
    x, p = wf.ones(2), wf.nn.Parameter(wf.ones(2))
    for tensor in (x, p):
        tensor.mark = [1]
        for way in (HOW["deepcopy"], HOW["pickle"], copy.copy):
            assert way(tensor).mark == [1]
        assert copy.deepcopy(tensor).mark is not tensor.mark
    leaf = wf.ones(2, requires_grad=True)
    (leaf * leaf).sum().backward()
    (p * p).sum().backward()
    kept = copy.deepcopy(leaf).grad
    assert kept is not None
    assert kept.tolist() == [2.0, 2.0]
    assert kept.data_ptr() != leaf.grad.data_ptr()
    assert copy.deepcopy(p).grad is None


def test_a_scaler_in_the_middle_of_a_step_is_not_copied() -> None:
    optimizer_, scaler = trained(), wf.amp.GradScaler("cpu")
    scaler.unscale_(optimizer_)
    with pytest.raises(NotImplementedError, match="after update"):
        copy.deepcopy(scaler)
    scaler.step(optimizer_)
    scaler.update()
    assert copy.deepcopy(scaler).state_dict() == scaler.state_dict()


def test_modules_with_hooks() -> None:
    layer = wf.nn.Linear(2, 2)
    layer.register_forward_hook(doubled)
    x = wf.ones(1, 2)
    for way in (HOW["deepcopy"], HOW["pickle"]):
        assert way(layer)(x).tolist() == layer(x).tolist()


def test_functions_pickle_by_name() -> None:
    """Layers and users store functions (``self.activation = F.relu``): each function of the table pickles by name."""
    lost = []
    for name, spec in FUNCTIONS.items():
        try:
            if pickle.loads(pickle.dumps(spec.function)) is not spec.function:
                lost.append(name)
        except (pickle.PicklingError, AttributeError):
            lost.append(name)
    assert lost == []


def doubled(module: Any, inputs: Any, output: Any) -> Any:
    return output * 2
