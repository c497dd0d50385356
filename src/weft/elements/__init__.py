"""Trees of elements: immutable data that component functions build, and the edits that turn a tree into another.

Flow templates and metatensor layouts are element trees. An element has a type's name, properties, children and
optionally a key that identifies it among its siblings; the meaning of types is up to the users of this package.
"""

from weft.elements.edits import Edit, Insert, Move, Remove, Replace, Update, apply, diff
from weft.elements.make import Child, component, constructor, element
from weft.elements.text import from_json, to_json
from weft.elements.tree import MOST_LEVELS, Element, Path, Properties, place, same

__all__ = [
    "MOST_LEVELS",
    "Child",
    "Edit",
    "Element",
    "Insert",
    "Move",
    "Path",
    "Properties",
    "Remove",
    "Replace",
    "Update",
    "apply",
    "component",
    "constructor",
    "diff",
    "element",
    "from_json",
    "place",
    "same",
    "to_json",
]
