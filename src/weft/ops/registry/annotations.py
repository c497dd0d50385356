"""Types for the signatures of public functions. The generated stubs replace ``Tensor`` by the class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Tensor = Any
Dims = int | Sequence[int] | None
Pair = int | Sequence[int]
OptionalPair = int | Sequence[int | None] | None
