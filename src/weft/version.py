"""Versions: weft's own, and those of libraries that PyTorch may be built with and weft does not use (``None``)."""

from __future__ import annotations

from weft import __version__

__all__ = ["__version__", "cuda", "git_version", "hip", "xpu"]

cuda: str | None = None
hip: str | None = None
xpu: str | None = None
git_version: str | None = None
