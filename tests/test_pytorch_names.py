"""Names that programs written for PyTorch use before they compute: each program below gives the same in both libraries.

``m`` is the module under test, ``weft`` or ``torch``; what a program gives is compared after ``plain``.
"""

from __future__ import annotations

import importlib
import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch

import weft as wf
from weft.errors import AbsentError, ArgumentError, DeviceError, DTypeError, UnsupportedError, WeftError

SAME = """
    m.cuda.is_available()
    m.cuda.device_count()
    m.cuda.is_initialized()
    m.cuda.manual_seed(3)
    m.cuda.manual_seed_all(3)
    m.cuda.empty_cache()
    m.cuda.memory_allocated()
    m.cuda.max_memory_allocated()
    m.cuda.get_rng_state_all()
    hasattr(m.cuda, "current_device")
    hasattr(m.cuda, "there_is_no_such_name")
    m.backends.mps.is_available()
    m.backends.mps.is_built()
    m.backends.cudnn.is_available()
    m.backends.cuda.is_built()
    (setattr(m.backends.cudnn, "benchmark", True), m.backends.cudnn.benchmark)
    (setattr(m.backends.cudnn, "deterministic", True), m.backends.cudnn.deterministic)
    (setattr(m.backends.cuda.matmul, "allow_tf32", True), m.backends.cuda.matmul.allow_tf32)
    (setattr(m.backends.cudnn, "allow_tf32", True), m.backends.cudnn.allow_tf32)
    m.backends.mkldnn.enabled
    m.mps.is_available() if hasattr(m.mps, "is_available") else False
    m.version.cuda
    m.distributed.is_initialized()
    m.onnx.is_in_onnx_export()
    m.jit.is_scripting()
    m.jit.is_tracing()
    m.jit.ignore(lambda a: a)(3)
    m.jit.export(lambda a: a)(3)
    m.jit.unused(lambda a: a)(3)
    isinstance(m.nn.Linear(1, 1), m.jit.ScriptModule)
    m.compiler.is_compiling()
    m.compiler.disable(lambda a: a)(3)
    m.compiler.disable()(lambda a: a)(3)
    m.is_tensor(m.ones(1)), m.is_tensor(1)
    m.numel(m.ones(2, 3))
    m.is_floating_point(m.ones(2)), m.is_complex(m.ones(2))
    m.get_default_dtype() is m.float32
    m.set_default_dtype(m.float32)
    m.inf, m.pi, m.e, m.newaxis, m.nan != m.nan
    m.finfo(m.float32).eps, m.finfo(m.float16).max, m.finfo(m.bfloat16).min, m.finfo().tiny
    m.finfo(m.float64).smallest_normal, m.finfo(m.float32).bits, m.finfo(m.float16).dtype
    m.iinfo(m.int16).min, m.iinfo(m.short).max, m.iinfo(m.int16).bits, m.int16 is m.short, m.ones(2).short().tolist()
    m.ShortTensor([-1]).tolist(), m.ShortTensor(2).shape, isinstance(m.ones(1).short(), m.ShortTensor)
    m.ones(1).short().type(), m.ones(1).type(m.ShortTensor).dtype is m.int16, m.ones(1).short().element_size()
    m.iinfo(m.int8).min, m.iinfo(m.uint8).max, m.iinfo(m.int64).max, m.iinfo(m.int32).bits, m.iinfo(m.uint8).min
    m.ones(2, 3).shape.numel(), m.ones(2, 3).size().numel(), m.Size([4, 5]).numel(), m.Size((2, 3)) == (2, 3)
    isinstance(m.ones(2).shape, m.Size), isinstance(m.ones(2).shape, tuple), hash(m.ones(2, 3).shape) == hash((2, 3))
    m.Tensor(2, 3).shape, m.Tensor(2, 3).dtype is m.float32, m.Tensor().shape, m.Tensor(m.Size([2])).shape
    m.Tensor([1, 2]).tolist(), m.Tensor([[1, 2.5]]).tolist(), m.Tensor(np.array([1, 2])).dtype is m.float32
    m.FloatTensor([1, 2]).tolist(), m.LongTensor([1, 2]).tolist(), m.LongTensor([1]).dtype is m.int64
    m.FloatTensor(2, 3).shape, m.DoubleTensor([1]).dtype is m.float64, m.ByteTensor([1]).dtype is m.uint8
    m.BoolTensor([True]).tolist(), m.IntTensor(2).shape, m.HalfTensor([1.5]).tolist(), m.CharTensor([-1]).tolist()
    isinstance(m.ones(1), m.Tensor), isinstance(m.nn.Parameter(m.ones(1)), m.Tensor), isinstance(1, m.Tensor)
    isinstance(m.ones(1), m.FloatTensor), isinstance(m.ones(1), m.LongTensor), isinstance(m.tensor(1), m.LongTensor)
    m.ones(1).type(), m.tensor(1).type(), m.tensor(True).type(), m.ones(1, dtype=m.float16).type()
    m.ones(1).type(m.int64).dtype is m.int64, m.ones(1).type("torch.LongTensor").dtype is m.int64
    m.ones(1).type(m.DoubleTensor).dtype is m.float64, m.ones(1).type(m.tensor(1).type()).dtype is m.int64
    m.ones(1).is_cuda, m.ones(1).is_sparse, m.ones(1).is_quantized, m.ones(1).is_cpu, m.ones(1).is_complex()
    m.ones(2, 3).nelement(), m.ones(2, 3).ndimension(), m.ones(2, 3).nbytes, m.ones(2).itemsize, m.ones(1).is_signed()
    m.ones(1).layout is m.strided, m.ones(1).get_device(), m.ones(1).is_inference(), m.ones(1).is_pinned()
    f"{m.tensor(5)}", f"{m.tensor(5.5):.3f}", f"{m.tensor(2.0)}", f"{m.tensor(True)}", f"{m.tensor(255):x}"
    f"{m.tensor(5):>4d}", "{:.2e}".format(m.tensor(12345.0)), "%.2f" % m.tensor(2.0), f"{m.ones(2)}"
    f"{m.nn.Parameter(m.tensor(2.0))}", f"{m.tensor(3).item()}"
    m.ones(2, dtype=m.float64).new_zeros(2, 3).dtype is m.float64, m.ones(2).new_zeros((2, 3)).tolist()
    m.tensor([1]).new_ones(2).tolist(), m.ones(1).new_ones(2, dtype=m.int64).tolist(), m.ones(1).new_full((2,), 7).tolist()
    m.ones(1).new_tensor([1, 2]).tolist(), m.tensor(1).new_tensor([1.0, 2.0], dtype=m.float32).tolist()
    m.ones(1).new_empty(2, 3).shape, m.ones(1).new_empty((2,), dtype=m.int64).dtype is m.int64, m.ones(1).new(2).shape
    m.ones(1).new_zeros(2, requires_grad=True).requires_grad, m.ones(1).new_zeros(size=(2,)).shape
    (lambda a, b: a.data_ptr() != b.data_ptr())(m.zeros(4), m.zeros(4))
    (lambda x: (x.data_ptr() == x[:2].data_ptr(), x[1:].data_ptr() - x.data_ptr()))(m.zeros(4))
    m.long is m.int64, m.float is m.float32, m.half is m.float16, m.double is m.float64, m.int is m.int32
    m.float32.is_floating_point, m.int64.is_floating_point, m.float16.itemsize, isinstance(m.float32, m.dtype)
    m.device("cpu").type, m.device("cpu").index, isinstance(m.ones(1).device, m.device), m.ones(1).device == m.device("cpu")
    m.autograd.Variable(m.ones(2), requires_grad=True).requires_grad, isinstance(m.ones(1), m.autograd.Variable)
    m.inference_mode()(lambda x: (x * 2).requires_grad)(m.ones(1, requires_grad=True))
    m.inference_mode(lambda x: (x * 2).requires_grad)(m.ones(1, requires_grad=True))
    m.inference_mode(False)(lambda x: (x * 2).requires_grad)(m.ones(1, requires_grad=True))
    m.is_inference_mode_enabled()
    list(m.nn.DataParallel(m.nn.Linear(2, 3)).state_dict()), m.nn.DataParallel(m.nn.Identity())(4)
    m.nn.attention.SDPBackend.MATH.name
    m.set_float32_matmul_precision("high"), m.get_float32_matmul_precision(), m.set_float32_matmul_precision("highest")
    m.use_deterministic_algorithms(True), m.are_deterministic_algorithms_enabled(), m.use_deterministic_algorithms(False)
    m.special.expit(m.zeros(1)).tolist(), m.special.log1p(m.zeros(1)).tolist(), m.special.softmax(m.zeros(2), 0).tolist()
    m.compile(lambda x: x + 1, mode="reduce-overhead", disable=True)(1), m.contiguous_format == m.contiguous_format
""".strip().split("\n")
PATHS = """
    accelerator amp autograd autograd.function backends backends.cuda backends.cudnn backends.mps compiler cuda cuda.amp
    distributed linalg mps nn nn.attention nn.functional nn.init nn.modules nn.modules.activation nn.modules.batchnorm
    nn.modules.conv nn.modules.linear nn.modules.loss nn.modules.module nn.modules.normalization nn.modules.utils
    nn.parallel nn.parameter nn.utils onnx optim optim.lr_scheduler optim.optimizer random special utils
    utils.checkpoint utils.data utils.data.dataloader utils.data.dataset utils.data.sampler version
""".split()


def test_scripts_stay_python() -> None:
    layer = wf.nn.Linear(1, 1)
    assert wf.jit.script(layer) is layer
    assert wf.jit.ignore(drop=True)(plain) is plain
    compiled = wf.compile(layer)
    assert wf.compiler.disable(compiled) is layer
    seen = []
    wf.jit(lambda x: (seen.append(wf.compiler.is_compiling()), x + 1)[1])(wf.ones(1))
    assert seen == [True]
    assert wf.compiler.disable(wf.jit(plain)) is plain


def plain(value: Any) -> Any:
    """Return the results of a program as values that do not depend on the library."""
    if isinstance(value, torch.Size | wf.Size):
        return tuple(value)
    if isinstance(value, tuple | list):
        return [plain(each) for each in value]
    return str(value) if isinstance(value, torch.device | wf.device) else value


@pytest.mark.cpu
@pytest.mark.parametrize("program", [line.strip() for line in SAME])
def test_a_program_gives_what_it_gives_in_pytorch(program: str) -> None:
    ours, theirs = (plain(eval(program, {"m": module, "np": np})) for module in (wf, torch))
    assert ours == theirs


@pytest.mark.parametrize("path", PATHS)
def test_import_paths_are_there(path: str) -> None:
    assert importlib.import_module(f"torch.{path}")
    importlib.import_module(f"weft.{path}")


def test_import_statements_of_programs() -> None:
    exec(
        "import weft as torch\n"
        "import weft.backends.cudnn as cudnn\n"
        "from weft.autograd import Variable\n"
        "from weft.cuda.amp import GradScaler, autocast\n"
        "from weft.nn.attention import SDPBackend, sdpa_kernel\n"
        "from weft.nn.modules.batchnorm import BatchNorm2d, _BatchNorm\n"
        "from weft.nn.modules.utils import _pair\n"
        "from weft.nn.parallel import DataParallel, DistributedDataParallel\n"
        "from weft.utils.data.dataloader import default_collate\n"
        "assert isinstance(torch.nn.BatchNorm1d(2), _BatchNorm) and _pair(2) == (2, 2) and _pair([1, 2]) == (1, 2)\n"
        "assert torch.nn.modules.conv.Conv2d is torch.nn.Conv2d\n",
        {},
    )


REFUSED: dict[str, tuple[Any, type[WeftError], str]] = {
    "cuda()": (lambda: wf.ones(1).cuda(), DeviceError, "'webgpu'"),
    "device='cuda'": (lambda: wf.ones(1, device="cuda"), DeviceError, "'webgpu'"),
    "device='cuda:0'": (lambda: wf.nn.Linear(1, 1).to("cuda:0"), DeviceError, "'webgpu'"),
    "device='mps'": (lambda: wf.ones(1).to("mps"), DeviceError, "'webgpu'"),
    "current_device": (lambda: wf.cuda.current_device(), UnsupportedError, "no CUDA"),
    "Event": (lambda: wf.cuda.Event(enable_timing=True), UnsupportedError, "no CUDA"),
    "unknown name": (lambda: wf.cuda.no_such_name, AbsentError, "cuda.no_such_name"),
    "init_process_group": (lambda: wf.distributed.init_process_group("gloo"), UnsupportedError, "is_available"),
    "DistributedDataParallel": (
        lambda: wf.nn.parallel.DistributedDataParallel(wf.nn.Identity()), UnsupportedError, "the module itself",
    ),
    "two devices": (lambda: wf.nn.DataParallel(wf.nn.Identity(), [0, 1]), UnsupportedError, "device_ids"),
    "onnx.export": (lambda: wf.onnx.export(wf.nn.Identity(), wf.ones(1)), UnsupportedError, "weft.save"),
    "jit.trace": (lambda: wf.jit.trace(wf.nn.Identity(), wf.ones(1)), UnsupportedError, "weft.compile"),
    "jit.load": (lambda: wf.jit.load("a.pt"), UnsupportedError, "TorchScript"),
    "set_default_dtype of integers": (lambda: wf.set_default_dtype(wf.int64), DTypeError, "floating"),
    "finfo of integers": (lambda: wf.finfo(wf.int8), DTypeError, "iinfo"),
    "iinfo of floats": (lambda: wf.iinfo(wf.float32), DTypeError, "finfo"),
    "type of no type": (lambda: wf.ones(1).type("torch.Nonsense"), ArgumentError, "LongTensor"),
    "device with two numbers": (lambda: wf.device("webgpu:1", 0), ArgumentError, "index"),
    "special": (lambda: wf.special.bessel_j0, AttributeError, "bessel_j0"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_there_says_what_to_write(name: str) -> None:
    call, error, text = REFUSED[name]
    with pytest.raises(error, match=text):
        call()


def test_amp_for_cuda_warns_and_is_off() -> None:
    layer, x = wf.nn.Linear(2, 2, device="cpu"), wf.ones(1, 2, device="cpu")
    for module, region in ((wf, wf.autocast), (torch, torch.autocast)):
        with pytest.warns(UserWarning, match="cuda|CUDA"), region("cuda"):
            assert not module.is_autocast_enabled("cpu")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with region("cuda", enabled=False):
                pass
    with pytest.warns(UserWarning, match="'cuda'"), wf.cuda.amp.autocast():
        assert layer(x).dtype is wf.float32
    for scaler in (wf.amp.GradScaler, wf.cuda.amp.GradScaler, lambda: wf.amp.GradScaler("cuda")):
        with wf.device("cpu"), pytest.warns(UserWarning, match="off"):
            assert not scaler().is_enabled()
    assert wf.amp.GradScaler("cpu").is_enabled()


def test_grad_scaler_is_on_with_a_gpu(device: Any) -> None:
    with wf.device(device.name), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert wf.amp.GradScaler().is_enabled() == (device.name != "cpu")


def test_devices_as_contexts(device: Any) -> None:
    before = wf.get_default_device()
    with wf.device(device.name):
        assert wf.ones(1).device == device.name
        with wf.device("cpu"):
            assert wf.ones(1).device == "cpu"
        assert wf.accelerator.is_available() == (device.name != "cpu")
        found = wf.accelerator.current_accelerator()
        assert found == (None if device.name == "cpu" else device.name)
        wf.accelerator.synchronize()
        wf.cuda.synchronize()
    assert wf.get_default_device() == before
    assert wf.device("webgpu", 1) == "webgpu:1" and wf.device(type="cpu", index=0) == "cpu"


def test_made_alike(device: Any) -> None:
    x = wf.ones(2, dtype=wf.float16, device=device.name)
    for made in (
        x.new_zeros(3),
        x.new_ones(3),
        x.new_full((3,), 2.0),
        x.new_empty(3),
        x.new_tensor([1, 2, 3]),
        x.new(3),
    ):
        assert (made.dtype, made.device, made.shape) == (wf.float16, device.name, (3,))
    y = wf.zeros(8, device=device.name)
    assert y.data_ptr() == y[:4].data_ptr()
    assert y[1:].data_ptr() - y.data_ptr() == 4


def test_tensors_take_attributes() -> None:
    p = wf.nn.Parameter(wf.ones(2))
    p.no_decay = True
    x = wf.ones(2)
    x.name = "x"
    assert p.no_decay and x.name == "x"
    assert not hasattr(p.detach(), "no_decay")
    assert not hasattr(wf.ones(1), "name")


def test_threads() -> None:
    before = wf.get_num_threads()
    try:
        wf.set_num_threads(1)
        assert wf.get_num_threads() == 1
        x = wf.ones(1 << 20, device="cpu")
        assert float((x + x).sum()) == 2.0 * (1 << 20)
        wf.set_num_threads(10_000)
        assert 1 <= wf.get_num_threads() <= 10_000
    finally:
        wf.set_num_threads(before)
    assert wf.get_num_threads() == before
    with pytest.raises(ArgumentError, match="num"):
        wf.set_num_threads(0)


def test_attention_under_a_choice_of_kernels() -> None:
    rng = np.random.default_rng(0)
    q, k, v = (rng.normal(size=(1, 2, 5, 4)).astype("float32") for _ in range(3))
    attend = wf.nn.functional.scaled_dot_product_attention
    with wf.nn.attention.sdpa_kernel([wf.nn.attention.SDPBackend.MATH]):
        ours = attend(wf.tensor(q), wf.tensor(k), wf.tensor(v))
    theirs = torch.nn.functional.scaled_dot_product_attention(*map(torch.tensor, (q, k, v)))
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-6)


def test_constants() -> None:
    assert wf.inf == math.inf
    assert math.isnan(wf.nan)
    assert wf.pi == math.pi
