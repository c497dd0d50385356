"""Random JSON Schemas: nested objects, arrays, enums, bounds, patterns, formats, choices, references, optional properties."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Schema = dict[str, Any]
NAMES = [
    "id",
    "name",
    "größe",
    "a b",
    'say "hi"',
    "back\\slash",
    "x",
    "items",
    "type",
    "$ref",
    "ключ",
    "émoji 😀",
    "",
]
PATTERNS = [
    "^[a-z]{2,6}$",
    "^(red|green|blue)$",
    "[0-9]",
    "^\\d{4}-\\d{2}$",
    "^a.c",
    "^(foo)+",
    "^[^\\s]{1,4}$",
    "^\\p{Lu}x*$",
]
FORMATS = ["date", "time", "date-time", "uuid", "ipv4", "email", "hostname", "duration"]
VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -3,
    2.5,
    1e3,
    "",
    "yes",
    "né 😀",
    'q"\\',
    [],
    [1, "a"],
    {},
    {"k": [None]},
]


class Random:
    """Makes schemas from a seed; each has at most ``depth`` levels."""

    def __init__(self, seed: int, depth: int = 3) -> None:
        self.rng, self.depth = np.random.default_rng(seed), depth
        self.definitions: dict[str, Schema] = {}
        self.names = 0

    def schema(self) -> Schema:
        """Return a schema with its definitions."""
        whole = self.any(0)
        if self.definitions:
            whole = {**whole, "$defs": self.definitions}
        return whole

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def pick(self, choices: list[Any]) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def number(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def any(self, level: int) -> Schema:
        leaves: list[Callable[[int], Schema]] = [
            self.integer, self.real, self.string, self.pattern, self.format, self.enum, self.const, self.simple,
        ]  # fmt: skip
        branches = [self.object, self.object, self.object, self.array, self.array, self.tuple, self.choice,
                    self.tagged, self.reference, self.map, self.both]  # fmt: skip
        if level == 0:
            return self.pick([*branches, self.any_leaf])(level)
        return self.pick(leaves if level >= self.depth else [*leaves, *branches])(level)

    def any_leaf(self, level: int) -> Schema:
        return self.any(self.depth)

    def integer(self, level: int) -> Schema:
        low = self.number(-2000, 2000)
        schema: Schema = {"type": "integer"}
        if self.chance(0.7):
            schema[self.pick(["minimum", "exclusiveMinimum"])] = low
        if self.chance(0.7):
            schema[self.pick(["maximum", "exclusiveMaximum"])] = low + self.number(30, 3000)
        if self.chance(0.2):
            schema["multipleOf"] = self.number(2, 9)
        return schema

    def real(self, level: int) -> Schema:
        low = self.number(-200, 200) / 8
        schema: Schema = {"type": "number"}
        if self.chance(0.7):
            schema[self.pick(["minimum", "exclusiveMinimum"])] = low
        if self.chance(0.7):
            schema[self.pick(["maximum", "exclusiveMaximum"])] = low + self.number(1, 400) / 16
        return schema

    def string(self, level: int) -> Schema:
        schema: Schema = {"type": "string", "description": "free text"}
        least = self.number(0, 5)
        if self.chance(0.5):
            schema["minLength"] = least
        if self.chance(0.7):
            schema["maxLength"] = least + self.number(0, 12)
        return schema

    def pattern(self, level: int) -> Schema:
        return {"type": "string", "pattern": self.pick(PATTERNS)}

    def format(self, level: int) -> Schema:
        return {"type": "string", "format": self.pick(FORMATS)}

    def enum(self, level: int) -> Schema:
        return {"enum": [VALUES[at] for at in self.rng.permutation(len(VALUES))[: self.number(1, 5)]]}

    def const(self, level: int) -> Schema:
        return {"const": self.pick(VALUES)}

    def simple(self, level: int) -> Schema:
        return self.pick(
            [
                {"type": "boolean"},
                {"type": "null"},
                {"type": ["integer", "null"]},
                {"type": ["boolean", "string"]},
            ]
        )

    def object(self, level: int) -> Schema:
        names = [NAMES[at] for at in self.rng.permutation(len(NAMES))[: self.number(1, 4)]]
        schema: Schema = {"type": "object", "properties": {name: self.any(level + 1) for name in names}}
        schema["required"] = [name for name in names if self.chance(0.6)]
        if self.chance(0.7):
            schema["additionalProperties"] = False
        return schema

    def map(self, level: int) -> Schema:
        schema: Schema = {"type": "object", "additionalProperties": self.any(level + 1)}
        if self.chance(0.4):
            schema = {
                "type": "object",
                "patternProperties": {"^[a-z]{1,3}$": self.any(level + 1)},
                "additionalProperties": False,
            }
        return {**schema, "minProperties": self.number(0, 1), "maxProperties": self.number(1, 3)}

    def array(self, level: int) -> Schema:
        least = self.number(0, 2)
        return {
            "type": "array",
            "items": self.any(level + 1),
            "minItems": least,
            "maxItems": least + self.number(0, 3),
        }

    def tuple(self, level: int) -> Schema:
        parts = [self.any(level + 1) for _ in range(self.number(1, 3))]
        return {"type": "array", "prefixItems": parts, "items": False, "minItems": len(parts)}

    def choice(self, level: int) -> Schema:
        return {"anyOf": [self.any(level + 1) for _ in range(self.number(1, 3))]}

    def tagged(self, level: int) -> Schema:
        kinds = [f"kind{at}" for at in range(self.number(1, 3))]
        return {
            "oneOf": [
                {"type": "object", "properties": {"kind": {"const": kind}, "value": self.any(level + 1)},
                 "required": ["kind", "value"], "additionalProperties": False}
                for kind in kinds
            ]
        }  # fmt: skip

    def both(self, level: int) -> Schema:
        low = self.number(0, 50)
        return {"allOf": [{"type": "integer", "minimum": low}, {"maximum": low + self.number(0, 50)}]}

    def reference(self, level: int) -> Schema:
        if not self.definitions or self.chance(0.5):
            self.names += 1
            name = f"part{self.names}"
            ends: list[Schema] = [{"type": "null"}, {"$ref": f"#/$defs/{name}"}]
            tree: Schema = {
                "type": "object",
                "properties": {"value": self.any(self.depth), "next": {"anyOf": ends}},
            }
            tree |= {"required": ["value", "next"], "additionalProperties": False}
            self.definitions[name] = tree if self.chance(0.5) else self.any(level + 1)
            return {"$ref": f"#/$defs/{name}"}
        return {"$ref": f"#/$defs/{self.pick(list(self.definitions))}"}
