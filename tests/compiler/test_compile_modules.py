"""``wf.compile`` of modules and methods: everything is shared with the module but how ``forward`` runs."""

from __future__ import annotations

import copy

import numpy
import pytest

import weft as wf
from tests.compiler.test_compile import given
from weft import nn

F = nn.functional


def test_a_compiled_module_shares_everything(device) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.scale = nn.Linear(3, 2), 2.0

        def forward(self, x):
            return F.dropout(self.layer(x), 0.5, self.training) * self.scale

    net = Net().to(device.name)
    compiled = wf.compile(net)
    assert isinstance(compiled, Net) and repr(compiled) == repr(net)
    assert list(compiled.state_dict()) == ["layer.weight", "layer.bias"]
    assert [id(parameter) for parameter in compiled.parameters()] == [
        id(parameter) for parameter in net.parameters()
    ]
    x = given(device, 4, 3)
    compiled.eval()
    assert not net.training and not net.layer.training
    numpy.testing.assert_allclose(compiled(x).detach().numpy(), net(x).detach().numpy(), rtol=1e-5)
    compiled.layer = nn.Linear(3, 2).to(device.name)
    assert net.layer is compiled.layer
    compiled.load_state_dict({name: tensor * 2 for name, tensor in net.state_dict().items()})
    numpy.testing.assert_allclose(compiled(x).detach().numpy(), net(x).detach().numpy(), rtol=1e-5)
    compiled.train()
    wf.manual_seed(1)
    expected = net(x).detach().numpy()
    wf.manual_seed(1)
    numpy.testing.assert_allclose(compiled(x).detach().numpy(), expected, rtol=1e-5)
    copied = copy.deepcopy(compiled)
    assert isinstance(copied, Net) and copied.layer is not net.layer
    copied(x).sum().backward()
    assert copied.layer.weight.grad is not None and net.layer.weight.grad is None


@pytest.mark.parametrize("how", [wf.jit, wf.compile])
def test_a_compiled_method_follows_its_modules_mode(device, how) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(wf.ones(3, device=device.name))

        @how
        def forward(self, x):
            return x * self.weight if self.training else x

    net, x = Net(), given(device, 3, grad=False)
    with wf.no_grad():
        net.weight.fill_(2.0)
    numpy.testing.assert_allclose(net(x).detach().numpy(), 2 * x.numpy())
    net.eval()
    numpy.testing.assert_allclose(net(x).detach().numpy(), x.numpy())


def test_hooks_of_a_compiled_module_run_at_each_call(device) -> None:
    compiled = wf.compile(nn.Linear(3, 2).to(device.name))
    calls = []
    compiled.register_forward_pre_hook(lambda module, args: calls.append("before"))
    compiled.register_forward_hook(lambda module, args, output: calls.append("after") or output * 2)
    compiled.register_full_backward_hook(lambda module, inputs, outputs: calls.append("backward"))
    for _ in range(2):
        compiled(given(device, 4, 3)).sum().backward()
    assert calls == ["before", "after", "backward"] * 2 and compiled.compilations == 1
