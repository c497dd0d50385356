"""``Module``: registration, traversal, conversion, printing, and state dicts, against PyTorch's."""

from __future__ import annotations

import copy
from typing import Any

import numpy
import pytest
import torch

import weft as wf
from tests.conftest import ADAPTER
from weft.devices import Device
from weft.errors import ArgumentError, ArgumentTypeError, DTypeError, ShapeError, StateError, UnsupportedError


class Block(wf.nn.Module):
    def __init__(self, lib: Any = wf) -> None:
        super().__init__()
        self.fc = wf.nn.Linear(3, 2)
        self.scale = wf.nn.Parameter(wf.ones(2))
        self.register_buffer("count", wf.tensor([1, 2]))
        self.register_buffer("scratch", wf.zeros(3), persistent=False)
        self.plain = wf.zeros(5)

    def forward(self, x: wf.Tensor) -> wf.Tensor:
        return self.fc(x) * self.scale


class TorchBlock(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = torch.nn.Linear(3, 2)
        self.scale = torch.nn.Parameter(torch.ones(2))
        self.register_buffer("count", torch.tensor([1, 2]))
        self.register_buffer("scratch", torch.zeros(3), persistent=False)
        self.plain = torch.zeros(5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x) * self.scale


def nested(lib: Any, block: Any) -> Any:
    return lib.Sequential(
        block(), lib.ReLU(), lib.ModuleList([lib.Linear(2, 2), lib.Linear(2, 2), lib.Identity()])
    )


def test_names_and_order_are_pytorchs() -> None:
    ours, theirs = nested(wf.nn, Block), nested(torch.nn, TorchBlock)
    for walk in ("named_parameters", "named_buffers", "named_modules", "named_children"):
        assert [name for name, _ in getattr(ours, walk)()] == [name for name, _ in getattr(theirs, walk)()]
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert list(ours.state_dict(prefix="net.")) == list(theirs.state_dict(prefix="net."))
    assert [name for name, _ in ours.named_parameters(prefix="a", recurse=False)] == []
    assert ours.get_submodule("2.0") is ours[2][0]
    assert ours.get_parameter("0.fc.weight") is ours[0].fc.weight


def test_state_goes_both_ways(device: Device) -> None:
    ours, theirs = nested(wf.nn, Block).to(device.name), nested(torch.nn, TorchBlock)
    before = dict(ours.named_parameters())
    assert repr(ours.load_state_dict(theirs.state_dict())) == "<All keys matched successfully>"
    for name, parameter in ours.named_parameters():
        assert parameter is before[name]
        assert parameter.device == device.name
        numpy.testing.assert_array_equal(parameter.detach().numpy(), theirs.state_dict()[name].numpy())
    again = nested(torch.nn, TorchBlock)
    state = {name: torch.tensor(value.numpy()) for name, value in ours.state_dict().items()}
    assert repr(again.load_state_dict(state)) == "<All keys matched successfully>"
    for name, value in again.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[name])


def test_state_dict_shares_memory_and_keeps_no_history() -> None:
    block = Block()
    state = block.state_dict()
    assert not state["scale"].requires_grad
    with wf.no_grad():
        block.scale.fill_(7)
    assert state["scale"].tolist() == [7, 7]
    assert block.state_dict(keep_vars=True)["scale"] is block.scale


def test_what_does_not_fit_is_listed_and_changes_nothing() -> None:
    block = Block()
    before = {name: value.numpy().copy() for name, value in block.state_dict().items()}
    state: dict[str, Any] = {
        "fc.weight": wf.zeros(2, 4),
        "scale": wf.zeros(2),
        "other": wf.zeros(1),
        "count": "two",
    }
    with pytest.raises(StateError) as caught:
        block.load_state_dict(state)
    text = str(caught.value)
    assert text.startswith("Error(s) in loading state_dict for Block:")
    assert 'Missing key(s) in state_dict: "fc.bias". ' in text
    assert 'Unexpected key(s) in state_dict: "other". ' in text
    assert "size mismatch for fc.weight: copying a param with shape [2, 4] from checkpoint" in text
    assert "the shape in current model is [2, 3]." in text
    assert "While copying count: expected a tensor or an array, received a str" in text
    assert isinstance(caught.value, RuntimeError)
    with pytest.raises(StateError, match="size mismatch"):
        block.load_state_dict(state, strict=False)
    for name, value in block.state_dict().items():
        numpy.testing.assert_array_equal(value.numpy(), before[name])


def test_not_strict_loads_what_is_there() -> None:
    block = Block()
    found = block.load_state_dict({"scale": numpy.array([3.0, 4.0]), "other": wf.zeros(1)}, strict=False)
    assert found.missing_keys == ["count", "fc.weight", "fc.bias"]
    assert found.unexpected_keys == ["other"]
    assert block.scale.tolist() == [3, 4]
    with pytest.raises(
        ArgumentTypeError, match=r"state_dict is a str, expected a dict of tensors; use weft.load"
    ):
        block.load_state_dict("model.safetensors")  # type: ignore[arg-type]


def test_registration_follows_the_kind_of_value() -> None:
    block = Block()
    parameter = block.scale
    assert "scale" not in block.__dict__
    assert "plain" in block.__dict__
    block.plain = parameter
    assert "plain" not in block.__dict__
    assert [name for name, _ in block.named_parameters()] == ["scale", "fc.weight", "fc.bias"]
    assert "plain" in dict(block.named_parameters(remove_duplicate=False))
    del block.plain
    block.scale = None
    assert "scale" not in block.state_dict()
    with pytest.raises(ArgumentTypeError, match=r"Block: scale is a Tensor, expected a Parameter or None"):
        block.scale = wf.zeros(2)
    with pytest.raises(ArgumentTypeError, match=r"Block: fc is a int, expected a Module or None"):
        block.fc = 3
    block.count = wf.tensor([5, 6])
    assert block.state_dict()["count"].tolist() == [5, 6]
    del block.fc
    assert "fc.weight" not in block.state_dict()
    with pytest.raises(AttributeError, match="'Block' object has no attribute 'fc'"):
        block.fc  # noqa: B018


def test_mistakes_in_registration_are_named() -> None:
    block = Block()
    with pytest.raises(
        ArgumentError, match=r"name is 'a.b', expected a name that is not empty and has no '\.'"
    ):
        block.register_buffer("a.b", wf.zeros(1))
    with pytest.raises(ArgumentError, match="name is 'forward', expected a name that no other attribute has"):
        block.register_parameter("forward", None)
    with pytest.raises(ArgumentTypeError, match="x is a int, expected a Module or None"):
        block.add_module("x", 3)  # type: ignore[arg-type]
    with pytest.raises(AttributeError, match=r"no submodule 'fc.x'; Linear has no module 'x', it has \[\]"):
        block.get_submodule("fc.x")

    class Forgetful(wf.nn.Module):
        def __init__(self) -> None:
            self.fc = wf.nn.Linear(1, 1)

    with pytest.raises(AttributeError, match=r"fc is assigned before Module.__init__\(\) ran"):
        Forgetful()
    with pytest.raises(UnsupportedError, match="forward is not defined"):
        wf.nn.Module()(1)


def test_shared_parameters_are_counted_once_and_saved_under_each_name() -> None:
    net = wf.nn.Sequential(wf.nn.Linear(2, 2), wf.nn.Linear(2, 2))
    net[1].weight = net[0].weight
    assert [name for name, _ in net.named_parameters()] == ["0.weight", "0.bias", "1.bias"]
    assert "1.weight" in net.state_dict()
    copied = copy.deepcopy(net)
    assert copied[0].weight is copied[1].weight
    assert copied[0].weight is not net[0].weight


def test_deepcopy_copies_values_and_modes() -> None:
    net = Block().eval()
    net.scale.requires_grad_(False)
    copied = copy.deepcopy(net)
    assert not copied.training
    assert not copied.scale.requires_grad
    assert isinstance(copied.scale, wf.nn.Parameter)
    with wf.no_grad():
        net.fc.weight.zero_()
    assert copied.fc.weight.abs().sum().item() > 0
    assert list(copied.state_dict()) == list(net.state_dict())


def test_to_keeps_identity_and_spares_integers() -> None:
    block = Block().to("cpu")
    parameters = list(block.parameters())
    (block(wf.ones(1, 3, device="cpu")).sum()).backward()
    assert block.to(wf.float64) is block
    assert all(a is b for a, b in zip(parameters, block.parameters(), strict=True))
    assert all(p.dtype is wf.float64 and p.is_leaf and p.requires_grad for p in parameters)
    assert parameters[0].grad is not None
    assert parameters[0].grad.dtype is wf.float64
    assert block.count.dtype is wf.int64
    assert block.scratch.dtype is wf.float64
    (block(wf.ones(1, 3, dtype=wf.float64, device="cpu")).sum()).backward()
    assert block.half().scale.dtype is wf.float16
    assert block.float().scale.dtype is wf.float32
    with pytest.raises(DTypeError, match="dtype is int32, expected a floating point type"):
        block.to(wf.int32)
    with pytest.raises(ArgumentTypeError, match="argument is 3, expected a dtype, a device or a tensor"):
        block.to(3)


@pytest.mark.webgpu
def test_a_move_that_fails_changes_nothing() -> None:
    block = Block().to("cpu").double()
    with pytest.raises(DTypeError, match="float64 is not available on device webgpu"):
        block.to(ADAPTER)
    assert all(p.device == "cpu" and p.dtype is wf.float64 for p in block.parameters())
    assert block.to(ADAPTER, wf.float32).scale.device.type == "webgpu"


def test_modes_apply_and_gradients() -> None:
    net = nested(wf.nn, Block)
    assert net.eval() is net
    assert not any(module.training for module in net.modules())
    net.train()
    assert all(module.training for module in net.modules())
    with pytest.raises(ArgumentTypeError, match="mode is 'yes', expected a bool"):
        net.train("yes")  # type: ignore[arg-type]
    seen: list[str] = []
    net.apply(lambda module: seen.append(type(module).__name__))
    theirs: list[str] = []
    nested(torch.nn, TorchBlock).apply(lambda module: theirs.append(type(module).__name__))
    assert seen == [name.replace("TorchBlock", "Block") for name in theirs]
    net.requires_grad_(False)
    assert not any(parameter.requires_grad for parameter in net.parameters())
    net.requires_grad_(True)
    net[0](wf.ones(2, 3)).sum().backward()
    net.zero_grad(set_to_none=False)
    assert net[0].scale.grad.tolist() == [0, 0]
    net.zero_grad()
    assert net[0].scale.grad is None


def build(lib: Any) -> Any:
    n = lib.nn if hasattr(lib, "nn") else lib
    return n.Sequential(
        n.Conv2d(1, 4, 3, padding=1), n.Conv2d(4, 8, (3, 5), stride=2, dilation=(1, 2), groups=2, bias=False),
        n.Conv2d(8, 8, 1, padding="same"), n.ReLU(), n.ReLU(inplace=True), n.MaxPool2d(2), n.Flatten(), n.Dropout(0.1),
        n.Sequential(n.Linear(3, 4), n.Linear(4, 5, bias=False), n.Tanh(), n.Sigmoid(), n.SiLU(), n.Identity()),
        n.ModuleList([n.Linear(1, 1), n.Linear(1, 1), n.Linear(2, 1)]), n.Embedding(5, 3, padding_idx=1),
        n.CrossEntropyLoss(), n.MSELoss(), n.NLLLoss(), n.Softmax(dim=1), n.LogSoftmax(1), n.ModuleList(),
    )  # fmt: skip


def test_models_print_as_pytorchs_do() -> None:
    assert repr(build(wf)) == repr(build(torch))
    assert repr(Block()) == repr(TorchBlock()).replace("TorchBlock", "Block")


def test_errors_carry_the_path_of_layers() -> None:
    net = wf.nn.Sequential(wf.nn.Identity(), wf.nn.Sequential(wf.nn.Linear(3, 2)))
    with pytest.raises(ShapeError, match=r"linear: input's shape is \(1, 4\), expected \(\*, 3\)") as caught:
        net(wf.ones(1, 4))
    assert caught.value.__notes__ == [
        "  in Linear(in_features=3, out_features=2, bias=True)", "  in Sequential()", "  in Sequential()",
    ]  # fmt: skip


def test_containers_are_sequences() -> None:
    net = wf.nn.Sequential(wf.nn.ReLU(), wf.nn.Tanh(), wf.nn.Sigmoid())
    assert isinstance(net[-1], wf.nn.Sigmoid)
    assert repr(net[1:]) == repr(
        torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Tanh(), torch.nn.Sigmoid())[1:]
    )
    net[0] = wf.nn.Identity()
    del net[1]
    assert [type(m).__name__ for m in net.append(wf.nn.ReLU())] == ["Identity", "Sigmoid", "ReLU"]
    assert list(net._modules) == ["0", "1", "2"]
    net.insert(1, wf.nn.Tanh())
    assert [type(m).__name__ for m in net] == ["Identity", "Tanh", "Sigmoid", "ReLU"]
    with pytest.raises(IndexError, match=r"Sequential: index is 4, expected in \[-4, 3\]"):
        net[4]
    with pytest.raises(ArgumentTypeError, match="Sequential: module is a function, expected a Module"):
        wf.nn.Sequential(lambda x: x)
    named = wf.nn.Sequential({"first": wf.nn.Linear(1, 2), "second": wf.nn.ReLU()})
    assert list(named.state_dict()) == ["first.weight", "first.bias"]
    assert isinstance(named.first, wf.nn.Linear)
    assert list(named[:1]._modules) == ["first"]
    held = wf.nn.ModuleList([wf.nn.Linear(1, 1)])
    held += [wf.nn.Linear(1, 2)]
    assert len(held) == 2
    assert len(list(held.parameters())) == 4
    assert isinstance(held[:1], wf.nn.ModuleList)


def test_parameters_are_tensors_of_their_own_kind() -> None:
    data = wf.ones(2)
    parameter = wf.nn.Parameter(data)
    with wf.no_grad():
        data.fill_(3)
    assert parameter.tolist() == [3, 3]
    assert type(parameter + 1) is wf.Tensor
    assert type(parameter.detach()) is wf.Tensor
    assert isinstance(copy.deepcopy(parameter), wf.nn.Parameter)
    with pytest.raises(
        ArgumentTypeError, match=r"Parameter: data is a list, expected a tensor; use weft.tensor"
    ):
        wf.nn.Parameter([1.0])
    with pytest.raises(DTypeError, match="int64, expected a floating point type"):
        wf.nn.Parameter(wf.tensor([1]))
    assert not wf.nn.Parameter(wf.tensor([1]), requires_grad=False).requires_grad
