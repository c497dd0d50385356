"""Programs written for PyTorch give the same losses and gradients when only their import is changed."""

from __future__ import annotations

import pickle
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch  # noqa: F401 (the peer: without it this file is skipped)

import weft as wf
from tests.conftest import DEVICES
from tests.programs import harness

SMALL = ("graph_attention", "policy_gradient", "gan")
"""What the software driver runs in a few seconds."""


def source(name: str) -> str:
    return (harness.SOURCES / f"{name}.py").read_text()


@lru_cache(maxsize=None)
def expected(name: str) -> harness.Run:
    return harness.run(name, source(name))


def compare(name: str, got: harness.Run, steps: float = 1e-3) -> None:
    want = expected(name)
    assert len(got.losses) == len(want.losses) == 11
    np.testing.assert_allclose(got.losses[0], want.losses[0], rtol=1e-5)
    assert got.gradients.keys() == want.gradients.keys()
    largest = max(abs(value).max() for value in want.gradients.values())
    for key, value in want.gradients.items():
        # small elements are differences of large ones, and some parameters change nothing (a bias of both of a pair)
        atol = 1e-4 * max(abs(value).max(), 1e-3 * largest)
        np.testing.assert_allclose(got.gradients[key], value, rtol=1e-4, atol=atol, err_msg=key)
    np.testing.assert_allclose(got.losses, want.losses, rtol=steps)
    np.testing.assert_allclose(got.evaluation, want.evaluation, rtol=steps, atol=1e-3)


@pytest.mark.cpu
@pytest.mark.parametrize("name", harness.NAMES)
def test_eager(name: str) -> None:
    compare(name, harness.run(name, harness.with_weft(source(name)), "cpu", expected(name).state))


@pytest.mark.cpu
@pytest.mark.parametrize("name", harness.NAMES)
def test_jitted(name: str) -> None:
    compare(name, harness.run(name, harness.with_weft(source(name)), "cpu", expected(name).state, wf.jit))


@pytest.mark.webgpu
@pytest.mark.parametrize("name", SMALL)
def test_webgpu(name: str) -> None:
    text = harness.with_weft(source(name))
    compare(name, harness.run(name, text, DEVICES["webgpu"], expected(name).state))


STAND_IN = """
import pickle, sys
import weft
weft.utils.install_as_torch()
from tests.programs import harness

given, taken, *names = sys.argv[1:]
with open(given, "rb") as file:
    states = pickle.load(file)
made = {name: harness.run(name, (harness.SOURCES / f"{name}.py").read_text(), "cpu", states[name]) for name in names}
assert sys.modules["torch"].Tensor is weft.Tensor
with open(taken, "wb") as file:
    pickle.dump(made, file)
"""


@pytest.mark.cpu
def test_installed_as_torch(tmp_path: Path) -> None:
    names = ("graph_attention", "policy_gradient", "word_model")
    given, taken = tmp_path / "given", tmp_path / "taken"
    given.write_bytes(pickle.dumps({name: expected(name).state for name in names}))
    subprocess.run([sys.executable, "-c", STAND_IN, given, taken, *names], check=True, cwd=harness.ROOT)
    for name, got in pickle.loads(taken.read_bytes()).items():
        compare(name, got)


def test_the_zoo_model_has_as_many_parameters_as_public_ones() -> None:
    assert len(expected("mobilenet").gradients) >= 150
