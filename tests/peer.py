"""The peer of most tests: which version of PyTorch they were written for."""

from __future__ import annotations

import torch

EXPECTED = "2.13"
OLDER_TORCH = (
    f"PyTorch {torch.__version__} lacks what the test compares with, expected {EXPECTED} or later"
    if tuple(map(int, torch.__version__.split(".")[:2])) < tuple(map(int, EXPECTED.split(".")))
    else ""
)
"""Why a test of what came with the expected version is left out; empty where the version is not older."""
