"""JSON Schemas before they become grammars: checks, and rules that make the library's grammars exact.

``llguidance`` allows some texts that a schema does not: 29 February of every year, leap seconds at any time, names of
any length in addresses, the excluded end of a range between two neighbouring integers. ``narrowed`` keeps such texts
out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

import jsonschema_rs

from weft.errors import ArgumentError, mistake

BY_NAME = ("properties", "patternProperties", "$defs", "definitions")
SEVERAL = ("anyOf", "oneOf", "allOf", "prefixItems", "items")
SINGLE = ("items", "additionalItems", "additionalProperties")
"""Keywords whose values hold schemas: by name, in a list, or a single schema."""
KEYWORDS = (
    *BY_NAME, *SEVERAL, *SINGLE, "$ref", "const", "enum", "type", "minItems", "maxItems", "required", "minProperties",
    "maxProperties", "minLength", "maxLength", "pattern", "format", "minimum", "maximum", "exclusiveMinimum",
    "exclusiveMaximum", "multipleOf", "uniqueItems", "contains", "minContains", "maxContains", "propertyNames",
    "dependentRequired", "dependentSchemas", "dependencies", "if", "then", "else", "not",
)  # fmt: skip
ANNOTATIONS = frozenset(
    {"$id", "$schema", "$comment", "id", "title", "description", "default", "example", "examples", "deprecated",
     "readOnly", "writeOnly"}
)  # fmt: skip

YEAR = "(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
LEAP_YEAR = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[2468][048]|[13579][26]|0[48])00)"
DATE = (
    f"(?:{YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    f"|02-(?:0[1-9]|1[0-9]|2[0-8]))|{LEAP_YEAR}-02-29)"
)
CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
TIME = rf"{CLOCK}:[0-5][0-9](?:\.[0-9]{{1,6}})?(?:[Zz]|[+-]{CLOCK})"
COUNT = "[0-9]{1,4}"
DAYS = f"(?:{COUNT}Y(?:{COUNT}M(?:{COUNT}D)?)?|{COUNT}M(?:{COUNT}D)?|{COUNT}D)"
HOURS = f"T(?:{COUNT}H(?:{COUNT}M(?:{COUNT}S)?)?|{COUNT}M(?:{COUNT}S)?|{COUNT}S)"
LABEL = "[A-Za-z0-9]{1,20}(?:-[A-Za-z0-9]{1,20}){0,2}"
ATOM = "[A-Za-z0-9_+-]{1,30}"
FORMATS: Mapping[str, str] = {
    "date": f"^{DATE}$",
    "time": f"^{TIME}$",
    "date-time": f"^{DATE}[Tt]{TIME}$",
    "duration": f"^P(?:{COUNT}W|{DAYS}(?:{HOURS})?|{HOURS})$",
    "email": rf"^{ATOM}(?:\.{ATOM})?@(?:{LABEL}\.){{1,3}}[A-Za-z]{{2,12}}$",
    "hostname": rf"^{LABEL}(?:\.{LABEL}){{0,3}}$",
}
"""Patterns that replace a format: texts that RFC 3339, RFC 5321 and RFC 1123 allow, of lengths that parsers take."""
STEPS = 1000
"""An excluded end of a short range is moved inwards by the range's length over this."""


def schema_of(schema: Any) -> dict[str, Any]:
    """Return the JSON Schema of a model of pydantic, or the given one.

    Raises ``ArgumentError`` for anything else, and where the schema breaks JSON Schema's own rules.
    """
    found = schema.model_json_schema() if hasattr(schema, "model_json_schema") else schema
    if found is True:
        found = {}
    if not isinstance(found, Mapping):
        expected = "a JSON Schema (a dictionary) or a model of pydantic"
        raise ArgumentError(mistake("structured output", "schema", repr(schema)[:200], expected))
    try:
        jsonschema_rs.validator_for(dict(found))
    except (ValueError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise ArgumentError(
            mistake("structured output", "schema", repr(found)[:200], "a JSON Schema", reason)
        ) from error
    return dict(found)


def check(schema: Mapping[str, Any]) -> None:
    """Raise ``ArgumentError`` for what the library would take in silence and not keep to.

    Keywords that no draft of JSON Schema has are annotations, as the standard says, unless they look mistyped.
    """
    for part in _parts(schema):
        for keyword in part:
            near = get_close_matches(keyword, KEYWORDS, 1, 0.85)
            if keyword not in KEYWORDS and keyword not in ANNOTATIONS and near:
                raise ArgumentError(
                    mistake("structured output", "schema", f"the keyword {keyword!r}", repr(near[0]))
                )
        most = len(part.get("required", ())) + 1
        if part.get("minProperties", 0) > most:
            given, fix = (
                f"minProperties {part['minProperties']}",
                "name the properties, because others may repeat",
            )
            expected = f"at most {most}, the required properties and another"
            raise ArgumentError(mistake("structured output", "schema", given, expected, fix))


def narrowed(schema: Any) -> Any:
    """Return a schema with rules for what the library's grammar would allow beyond it."""
    if not isinstance(schema, Mapping):
        return schema
    result = dict(schema)
    for keyword, value in schema.items():
        if keyword in BY_NAME and isinstance(value, Mapping):
            result[keyword] = {name: narrowed(part) for name, part in value.items()}
        elif keyword in SEVERAL and isinstance(value, list):
            result[keyword] = [narrowed(part) for part in value]
        elif keyword in SINGLE:
            result[keyword] = narrowed(value)
    pattern = FORMATS.get(schema.get("format", ""))
    if pattern is not None:
        del result["format"]
        result["allOf"] = [*result.get("allOf", ()), {"pattern": pattern}]
    return _without_excluded_ends(result)


def _without_excluded_ends(schema: dict[str, Any]) -> dict[str, Any]:
    """Move an excluded integer inwards, where the range ends before the next integer; integers have no such range."""
    low, high = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    end = min((schema[name] for name in ("maximum", "exclusiveMaximum") if name in schema), default=None)
    begin = max((schema[name] for name in ("minimum", "exclusiveMinimum") if name in schema), default=None)
    if schema.get("type") == "integer" or begin is None or end is None or not 0 < end - begin <= 1:
        return schema
    step = (end - begin) / STEPS
    if low == begin and float(low).is_integer():
        del schema["exclusiveMinimum"]
        schema["minimum"] = low + step
    if high == end and float(high).is_integer():
        del schema["exclusiveMaximum"]
        schema["maximum"] = high - step
    return schema


def _parts(schema: Any) -> Iterator[Mapping[str, Any]]:
    """Yield a schema and all schemas in it."""
    if not isinstance(schema, Mapping):
        return
    yield schema
    for keyword, value in schema.items():
        parts: Any = []
        if keyword in BY_NAME and isinstance(value, Mapping):
            parts = value.values()
        elif keyword in SEVERAL and isinstance(value, list):
            parts = value
        elif keyword in SINGLE:
            parts = [value]
        for part in parts:
            yield from _parts(part)
