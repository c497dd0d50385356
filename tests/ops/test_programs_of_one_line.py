"""One-line programs that give the same results, types and shapes in weft and PyTorch, or raise in both."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch

import weft as wf
from tests.ops.arrays import assert_equal, from_torch, from_weft
from weft.errors import WeftError

PROGRAMS = """
F.normalize(T(5.),dim=0)
F.normalize(T([[1.,2.,0.]]),p=0)
F.normalize(T([[1.,2.,4.]]),p=-1)
F.normalize(T([[1.,2.,4.]]),p=-float("inf"))
F.cosine_similarity(T(5.),T(-2.),dim=0)
m.gather(T(5.),0,T([0,0]))
m.gather(T([5.,6.]),0,T(1))
m.gather(T(5.),0,T(0))
m.gather(T(5.),-1,T([0]))
T(5.).scatter(0,T([0]),T([7.]))
T([5.,6.]).scatter(0,T(1),T(7.))
T([5.,6.]).scatter_add(0,T(1),T(7.))
m.index_select(T(5.),0,T([0]))
m.index_select(T(5.),0,T(0))
T(5.).mT
T(5.).T
T([5.]).T
T([[5.,1.]]).mH
F.normalize(T([[1.,2.,4.]]),p=float("inf"))
F.linear(m.ones(2,3),m.ones(3))
F.linear(m.ones(3),m.ones(3))
m.tensordot(m.ones(2,3),m.ones(1,4),dims=([1],[0]))
m.tensordot(m.ones(2,1),m.ones(3,4),dims=1)
m.tensordot(m.ones(2,1),m.ones(1,4),dims=1)
m.tensordot(m.ones(2,3),m.ones(3,4),dims=([-1],[0]))
[tuple(y.shape) for y in m.tensor_split(m.arange(5),T([2,3]))]
[tuple(y.shape) for y in m.tensor_split(m.arange(5),T(2))]
[tuple(y.shape) for y in m.tensor_split(m.ones(2,5),T([1,4]),dim=1)]
m.searchsorted(T([3.,1.,2.]),T([2.5,0.]),sorter=T([1,2,0]))
m.searchsorted(T([[3.,1.,2.],[1.,2.,3.]]),T([[2.5],[2.]]),sorter=T([[1,2,0],[0,1,2]]),right=True)
m.searchsorted(T([1.,2.,3.]),T([2.]),side="right")
m.norm(T([[1.,2.],[3.,4.]]),p="fro")
m.norm(m.ones(2,3,4),p="fro",dim=(1,2))
m.norm(T([3.,4.]),"fro")
m.norm(m.ones(2,3,4),"fro")
m.norm(m.ones(2,3,4),"fro",dim=0)
F.batch_norm(m.ones(0,3),m.zeros(3),m.ones(3))
F.batch_norm(m.ones(0,3),m.zeros(3),m.ones(3),training=True)
F.batch_norm(m.ones(0,3,2,2),m.zeros(3),m.ones(3),training=True)
F.batch_norm(m.ones(2,3,0,2),m.zeros(3),m.ones(3),training=True)
m.arange(6.).reshape(2,3)[range(2)]
m.arange(6.).reshape(2,3)[range(2),T([0,1])]
m.arange(6.).reshape(2,3)[:,range(0,3,2)]
m.arange(6.).reshape(2,3)[range(0)]
m.arange(3.)[T([1,0,1],dtype=m.uint8)]
m.arange(6.).reshape(2,3)[T([1,0],dtype=m.uint8)]
m.where(T([1,0,1],dtype=m.uint8),m.arange(3.),0.)
m.ones(1,3).expand(2,3).fill_(2)
m.ones(1,3).expand(2,3).zero_()
m.ones(1,3).expand(2,3).__setitem__((0,0),5.)
m.ones(1,3).expand(2,3).__setitem__(0,5.)
m.ones(1,1).expand(1,3)[:, :1].add_(1)
m.ones(3).fill_(T(2.))
F.pad(m.zeros(1,dtype=m.float64),(1,0),value=1e300)
F.pad(m.zeros(1,dtype=m.int64),(1,0),value=2**40)
F.pad(m.zeros(1,dtype=m.int64),(1,0),value=1.5)
F.pad(m.zeros(1,dtype=m.bool),(1,0),value=True)
F.pad(m.zeros(1,dtype=m.uint8),(1,0),value=200)
F.pad(m.zeros(1,dtype=m.float16),(1,0),value=0.1)
F.pad(m.arange(4.)[None,None],(-4,5),mode="replicate")
F.pad(m.arange(4.)[None,None],(2,-4),mode="replicate")
F.pad(m.arange(4.)[None,None],(-2,-1),mode="replicate")
F.pad(m.arange(4.)[None,None],(-2,1),mode="reflect")
F.pad(m.arange(4.)[None,None],(-3,2),mode="reflect")
F.pad(m.arange(4.)[None,None],(-4,3),mode="reflect")
F.pad(m.arange(4.)[None,None],(-1,2),mode="circular")
F.pad(m.arange(4.),(-4,5),value=7.)
F.pad(m.ones(0,1,3),(1,1),mode="reflect")
F.pad(m.ones(0,1,3),(1,1),mode="replicate")
F.pad(m.ones(0,1,3),(1,1),mode="circular")
F.pad(m.ones(1,1,1),(0,0),mode="reflect")
F.pad(m.arange(4.)[None,None],(-5,6),mode="replicate")
F.pad(m.arange(4.)[None,None],(6,-5),mode="replicate")
T([100,100,100]).sum(dtype=m.int8)
m.ones(3,dtype=m.int32).sum(dtype=m.int32)
T([1,2]).sum(dtype=m.bool)
T([1,2]).sum(dtype=m.float16)
T([1.6,2.6]).sum(dtype=m.int32)
T([100,3]).prod(dtype=m.int8)
T([[100,3]]).prod(1,dtype=m.int32)
T([100,100,100]).cumsum(0,dtype=m.int8)
T([100,100,100]).cumprod(0,dtype=m.int32)
T([1,2]).mean(dtype=m.float32)
T([1,2]).nansum(dtype=m.int32)
T([1.5,float("nan")]).nansum(dtype=m.int32)
T([1.,2.]).nanmean(dtype=m.float16)
F.softmax(T([1,2]),0,dtype=m.float32)
T([200,100],dtype=m.uint8).cumsum(0,dtype=m.uint8)
T([True,False]).masked_fill(T([True,False]),0)
T([True,False]).masked_fill(T([True,False]),2)
T([True,False]).masked_fill(T([True,False]),T(0))
T([1,2],dtype=m.int8).masked_fill(T([True,False]),T(5))
T(1,dtype=m.float16).masked_fill(T(True),T(5.))
T([True,False]).masked_fill(T([True,False]),1.5)
T([1.,2.]).masked_fill(T([[True],[False]]),1.5)
m.ones(1,2,1).squeeze(())
m.bincount(T([0,0]),weights=T([16777217,0]))
m.bincount(T([0,0]),weights=T([1.5,2.]))
m.bincount(T([0,0]),weights=T([True,True]))
m.bincount(T([],dtype=m.int64),weights=T([]))
m.bincount(T([],dtype=m.int64),weights=T([],dtype=m.int64))
m.bincount(T([0,0]),weights=T([1.5,2.],dtype=m.float16))
F.hardtanh(T([-3,0,3]))
F.hardtanh(T([-3,0,3]),-2.5,2.5)
F.relu6(T([-3,9]))
F.relu6(T([3,9],dtype=m.uint8))
F.hardtanh(T([3,9],dtype=m.uint8),1,4)
F.threshold(T([1,5]),2,9)
F.threshold(T([1,5]),2.5,9.5)
T([1,5]).clamp(2,3)
T([1,5]).clamp(1.5)
T([True]).clamp(0,1)
T([1,5],dtype=m.int8).clamp(T([2,3],dtype=m.int32))
F.relu(T([1],dtype=m.uint8))
T([1,2],dtype=m.uint8).all()
T([[0,2]],dtype=m.uint8).any(1)
T([1,2],dtype=m.int8).all()
T([1.]).any()
T([True,False]).max()
T([True,False]).min()
T([[True,False]]).max(1)
T([[True,False]]).min(1)
T([[True,False]]).amax(1)
T([[True,False]]).amin((0,1),keepdim=True)
T([True,False]).aminmax()
m.maximum(T([True,False]),T([False,False]))
m.minimum(T([True,False]),T([False,False]))
T([False,True]).cummax(0)
T([True,False]).sort()
m.fmax(T([True]),T([False]))
T([True,False]).scatter(0,T([0]),T([False]))
T([True,False]).scatter(0,T([0]),False)
T([True,False]).scatter(0,T([0]),0)
T([True,False]).scatter_add(0,T([0]),T([True]))
T([True,False]).scatter_reduce(0,T([0]),T([True]),"amax")
T([True,False]).scatter_reduce(0,T([1]),T([True]),"sum")
T([True,False]).scatter_reduce(0,T([0]),T([False]),"prod")
T([True,False]).scatter_reduce(0,T([0]),T([False]),"amin",include_self=False)
T([True,False]).scatter_reduce(0,T([0]),T([False]),"amax",include_self=False)
T([True,False]).index_add(0,T([1]),T([True]))
T([True,False]).index_add(0,T([1]),T([True]),alpha=2)
T([True,False]).index_copy(0,T([1]),T([True]))
T([True,False]).index_fill(0,T([1]),1)
T([True,False]).index_put((T([1]),),T(True))
T([True,False]).index_put((T([1]),),T(True),accumulate=True)
T([True,False]).scatter(0,T([1]),T([True]),reduce="add")
(lambda x: (x.__setitem__(T([1]), 1), x)[1])(T([True,False]))
m.cat([m.ones(0),m.ones(1,2)])
m.cat([m.ones(0,dtype=m.float16),m.ones(1,2,dtype=m.int32)])
m.cat([m.ones(0),m.ones(0)])
m.cat([m.ones(0),m.ones(1,2)],1)
m.cat([m.ones(2,2),m.ones(0)],-1)
m.hstack([m.ones(0),m.ones(2)])
m.take_along_dim(m.arange(3.),T([-1]),0)
m.take_along_dim(m.arange(6.).reshape(2,3),T([[-1]]),1)
m.take_along_dim(T(5.),T([0]))
m.index_reduce(T(1.),0,T(0),T(3.),"amax")
m.index_reduce(m.zeros(3,2),0,T([1,1]),m.ones(2,2),"amax")
m.zeros(3,2).scatter(0,T([],dtype=m.int64).reshape(0,2),m.ones(0,2))
m.zeros(3).index_fill(0,T([-1]),1.)
m.zeros(3,dtype=m.int64).index_add(0,T([1]),m.ones(1,dtype=m.int64),alpha=2)
m.zeros(3,dtype=m.int8).index_fill(0,T([1]),3.7)
""".strip().splitlines()
"""``m`` is weft or torch, ``F`` its ``nn.functional``, ``T`` its ``tensor``."""

REFUSED = """
m.index_select(T(5.),0,T([0,0]))
T([5.]).mT
F.normalize(T(5.))
F.cosine_similarity(T(5.),T(-2.))
F.linear(m.ones(2,3),m.ones(3),T([2.]))
m.norm(T([3.,4.]),"nuc")
m.masked_select(m.arange(3.),T([1,0,1],dtype=m.uint8))
m.masked_fill(m.arange(3.),T([1,0,1],dtype=m.uint8),9.)
m.arange(3.).masked_scatter(T([1,0,1],dtype=m.uint8),T([7.,8.]))
m.ones(1,3).expand(2,3).mul_(2)
m.ones(1,3).expand(2,3).copy_(m.ones(2,3))
m.ones(1,3).expand(2,3).scatter_(0,T([[0,0,0]]),5.)
m.ones(1,3).expand(2,3).index_add_(0,T([0]),m.ones(1,3))
m.ones(3).fill_(T([1.,2.,3.]))
m.ones(3).fill_(T([1.]))
F.pad(m.arange(4.)[None,None],(-3,4),mode="circular")
F.pad(m.arange(4.)[None,None],(2,-3),mode="circular")
F.pad(m.ones(1,1,0),(1,1),mode="reflect")
F.pad(m.ones(1,1,0),(0,0),mode="reflect")
F.pad(m.ones(1,1,0),(1,1),mode="replicate")
F.pad(m.arange(4.)[None,None],(-5,6),mode="reflect")
T([1,1]).cumsum(0,dtype=m.bool)
T([1.,2.]).mean(dtype=m.int32)
F.softmax(T([1.,2.]),0,dtype=m.int32)
F.hardtanh(T([3,9],dtype=m.uint8))
F.hardtanh(T([True]))
F.relu(T([True]))
T([True]).argmax()
T([True]).median()
T([True,False]).scatter_reduce(0,T([0]),T([False]),"mean")
m.cat([m.ones(0,1),m.ones(1,2)])
m.vstack([m.ones(0),m.ones(1,2)])
m.index_reduce(m.zeros(3,2),0,T([1]),m.ones(4,2),"amax")
m.index_reduce(m.zeros(3,2),0,T([1,1]),m.ones(1,2),"amax")
m.index_reduce(m.zeros(3,2),0,T([1]),m.ones(1,3),"amax")
m.index_reduce(m.zeros(3,2),0,T([1]),m.ones(1),"amax")
m.index_reduce(m.zeros(3,2),0,T([1]),m.ones(1,1),"amax")
m.index_reduce(m.zeros(3,2),0,T([[1]]),m.ones(1,2),"amax")
m.index_add(m.zeros(3,2),0,T([1]),m.ones(4,2))
m.index_add(m.zeros(3,2),0,T([1]),m.ones(1,1))
m.index_add(m.zeros(3,2),0,T([1]),m.ones(2))
m.index_copy(m.zeros(3,2),0,T([1]),m.ones(4,2))
m.index_copy(m.zeros(3,2),0,T([1]),m.ones(1,1))
m.index_copy(m.zeros(3,2),0,T([1]),T(5.))
m.zeros(3,2).scatter(0,T([[1,1,1]]),m.ones(1,3))
m.zeros(3,2).scatter(0,T([[1,1]]),m.ones(1,1))
m.zeros(3,2).scatter(0,T([1]),m.ones(1))
m.zeros(3,2).scatter(0,T([[1,1]]),m.ones(2))
m.zeros(3,2).scatter_add(0,T([[1,1]]),m.ones(1,1))
m.zeros(3,2).scatter_reduce(0,T([[1,1]]),m.ones(1,1),"sum")
m.gather(m.zeros(3,2),0,T([[0,0,0]]))
m.zeros(3,2).index_put((T([1]),),m.ones(3))
m.zeros(3,2).index_put((T([1]),),m.ones(2,2))
m.zeros(3,2).index_fill(0,T([[1]]),1.)
m.zeros(3,2).index_fill(0,T([1]),T([1.]))
m.zeros(3).index_add(0,T([3]),m.ones(1))
""".strip().splitlines()


@pytest.fixture
def default_device(device: Any) -> Iterator[Any]:
    """Make the device under test the default device."""
    wf.set_default_device(device.name)
    yield device
    wf.set_default_device(None)


def run(program: str, module: Any) -> Any:
    names = {"m": module, "F": module.nn.functional, "T": module.tensor}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return eval(program, names)


def compare(got: Any, expected: Any, program: str) -> None:
    if isinstance(expected, tuple | list):
        assert len(got) == len(expected)
        for mine, own in zip(got, expected, strict=True):
            compare(mine, own, program)
    elif isinstance(expected, torch.Tensor):
        assert_equal(from_weft(got), from_torch(expected), program, 2)
    else:
        assert got == expected


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_give_what_those_of_torch_give(default_device: Any, program: str) -> None:
    expected = run(program, torch)
    wide = isinstance(expected, torch.Tensor) and expected.dtype is torch.float64
    if wide and not default_device.supports(wf.float64):
        expected = expected.float()
        if "float64" in program:
            with pytest.raises(wf.errors.DTypeError, match="float64"):
                run(program, wf)
            return
    if "2**40" in program and default_device.name != "cpu":
        with pytest.raises(WeftError, match="32-bit integers"):
            run(program, wf)
        return
    compare(run(program, wf), expected, program)


@pytest.mark.parametrize("program", REFUSED)
def test_programs_that_torch_refuses_are_refused(default_device: Any, program: str) -> None:
    with pytest.raises((RuntimeError, IndexError, ValueError, TypeError)):
        run(program, torch)
    with pytest.raises(WeftError):
        from_weft(run(program, wf))


@pytest.mark.cpu
@pytest.mark.parametrize(
    "name", ["float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]
)
def test_writes_by_few_indices_cost_by_their_number(name: str) -> None:
    dtype, device = wf.dtypes.named(name), wf.devices.open("cpu")
    x = wf.zeros(1 << 16, 2, dtype=dtype, device="cpu")
    index = wf.tensor([7, 65535, 7], device="cpu")
    values = wf.tensor([[1, 0], [1, 1], [0, 1]], device="cpu").to(dtype)
    before, allocated = device.memory_stats().in_use, device.allocate
    sizes: list[int] = []

    def noting(size: int) -> Any:
        sizes.append(size)
        return allocated(size)

    device.allocate = noting  # type: ignore[method-assign]
    try:
        x[index] = values
    finally:
        del device.allocate  # type: ignore[method-assign]
    assert sum(sizes) < 1000
    assert device.memory_stats().in_use <= before + 1000
    assert x[wf.tensor([7, 65535, 8], device="cpu")].to(wf.int64).tolist() == [[0, 1], [1, 1], [0, 0]]
    assert int(x.to(wf.int64).sum()) == 3
