"""Libraries that ``import torch`` run on weft: a small library, written here, and public libraries if installed.

Each program runs in two processes, with PyTorch and with weft in its place, and prints values and gradients.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import weft as wf
from weft.errors import UnsupportedError
from weft.version import TorchVersion

LIBRARY = {
    "layers.py": """
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.utils import _pair
from torch.nn.parameter import Parameter


@torch.jit.script
def gate(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x)


class Block(nn.Module):
    def __init__(self, channels: int, kernel=3):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, _pair(kernel), padding=kernel // 2)
        self.norm = nn.BatchNorm2d(channels)
        self.scale = Parameter(torch.ones(channels, 1, 1))
        assert isinstance(self.norm, _BatchNorm)

    @torch.jit.ignore
    def describe(self):
        return f"block of {self.conv.out_channels}"

    def forward(self, x: Tensor) -> Tensor:
        if not torch.jit.is_scripting() and x.dim() != 4:
            raise ValueError("pictures")
        return x + F.relu(self.norm(self.conv(gate(x)))) * self.scale
""",
    "__init__.py": """
import torch

if tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2]) < (1, 8) or torch.__version__ < "2.1":
    raise ImportError("a newer torch is needed")
from .layers import Block
from torch.utils.data import DataLoader, TensorDataset
import torch.backends.cudnn as cudnn

cudnn.benchmark = True
try:
    import torch._dynamo_or_so
except ImportError:
    pass
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
""",
}
FILL = """
import json, numpy as np, torch

def fill(model):
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for _, parameter in model.named_parameters():
            parameter.copy_(torch.tensor((rng.normal(size=tuple(parameter.shape)) * 0.1).astype("float32")))
    return model

def picture(*shape):
    return torch.tensor(np.random.default_rng(1).normal(size=shape).astype("float32"))

def show(model, x):
    y = fill(model)(x)
    (y * y).mean().backward()
    gradients = [float(p.grad.pow(2).sum()) for p in model.parameters() if p.grad is not None]
    print(json.dumps([y.detach().flatten()[:20].tolist(), *gradients]))
"""
PROGRAMS = {
    "small": "import small; show(torch.nn.Sequential(small.Block(4), small.Block(4, 5)).to(small.device), picture(2, 4, 6, 6))",
    "mlp_mixer_pytorch": "from mlp_mixer_pytorch import MLPMixer\n"
    "show(MLPMixer(image_size=32, channels=3, patch_size=8, dim=16, depth=2, num_classes=5).eval(), picture(2, 3, 32, 32))",
    "nystrom_attention": "from nystrom_attention import NystromAttention\n"
    "show(NystromAttention(dim=16, dim_head=8, heads=2, num_landmarks=4, pinv_iterations=3).eval(), picture(1, 16, 16))",
    "einops": "from einops.layers.torch import Rearrange, Reduce\n"
    "show(torch.nn.Sequential(Rearrange('b c (h p) w -> b h (c p w)', p=2), torch.nn.Linear(48, 3), Reduce('b h c -> b c', 'mean')), picture(2, 4, 6, 6))",
}  # fmt: skip


def run(program: str, folder: Path, stand_in: bool) -> Any:
    start = "import weft; weft.utils.install_as_torch()\n" if stand_in else ""
    code = f"import sys; sys.path.insert(0, {str(folder)!r})\n{start}{FILL}{program}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_library_runs_as_with_pytorch(name: str, tmp_path: Path) -> None:
    if name == "small":
        (tmp_path / "small").mkdir()
        for file, text in LIBRARY.items():
            (tmp_path / "small" / file).write_text(text, encoding="utf-8")
    else:
        pytest.importorskip(
            name, reason=f"{name} is not installed (pip install --no-deps {name.replace('_', '-')})"
        )
    ours, theirs = (json.loads(run(PROGRAMS[name], tmp_path, stand_in)) for stand_in in (True, False))
    assert len(ours) == len(theirs) > 1
    for value, expected in zip(ours, theirs, strict=True):
        assert value == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_modules_are_wefts(tmp_path: Path) -> None:
    program = """
import weft, torch, torch.nn.functional as F, torch.jit, torch.utils.data.dataloader
from torch.jit import script, is_scripting
from torch.optim.lr_scheduler import StepLR
assert torch.nn is weft.nn and F is weft.nn.functional and torch.Tensor is weft.Tensor
assert torch.jit.script is weft.jit.script and weft.nn.__spec__.name == "weft.nn"
assert torch.__version__ >= "2.4" and torch.__version__ >= (2, 0) and torch.version.cuda is None
assert StepLR is weft.optim.lr_scheduler.StepLR
for name in ("torch.fx", "torch.nn.nonsense", "torch._dynamo"):
    try:
        __import__(name)
    except ModuleNotFoundError as error:
        assert name in str(error) and error.name == name
    else:
        raise AssertionError(name)
weft.utils.install_as_torch()
print("right")
"""
    assert run(program, tmp_path, True).strip() == "right"


def test_after_pytorch_it_is_refused(tmp_path: Path) -> None:
    program = "import weft\ntry:\n    weft.utils.install_as_torch()\nexcept NotImplementedError as error:\n    print(error)"
    assert "imported already" in run(program, tmp_path, False)
    import torch

    assert torch.__version__
    with pytest.raises(UnsupportedError, match="imported already"):
        wf.utils.install_as_torch()


def test_versions_compare_by_their_numbers() -> None:
    version = TorchVersion("2.13.0+weft.1")
    assert version > "2.4"
    assert version >= "2.13"
    assert version >= (2, 13)
    assert version < "10.0"
    assert not version < "2.13.0"
    assert version <= "2.14.dev1"
    assert version == "2.13.0+weft.1"
    assert version != "2.13.1"
    assert max(version, TorchVersion("2.9.1")) == version
    import torch

    for text in ("1.8", "2.4.1", "2.13", "2.14", "10.0"):
        for own, other in ((TorchVersion("2.13.0"), torch.torch_version.TorchVersion("2.13.0")),):
            assert [own > text, own >= text, own < text] == [other > text, other >= text, other < text]
