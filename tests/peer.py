"""The version of PyTorch that the tests compare with."""

from __future__ import annotations

import torch

EXPECTED = "2.13"
OLDER_TORCH = (
    f"PyTorch {torch.__version__} lacks what the test compares with, expected {EXPECTED} or later"
    if tuple(map(int, torch.__version__.split(".")[:2])) < tuple(map(int, EXPECTED.split(".")))
    else ""
)
"""The reason to skip tests of features of the expected version; empty if the installed version is not older."""
