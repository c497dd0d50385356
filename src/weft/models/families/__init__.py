"""Families of language models as rows of a table: a ``config.json`` to a ``DecoderConfig``, and back."""

from weft.models.families.family import COMMON, Derived, Family, Field
from weft.models.families.table import FAMILIES, config_from, config_to, end_tokens

__all__ = ["COMMON", "FAMILIES", "Derived", "Family", "Field", "config_from", "config_to", "end_tokens"]
