"""Trees of elements: plain frozen data that component functions make, and the edits from one tree to another.

Flow templates and metatensor layouts are such trees. An element is a type's name, properties, children and
perhaps a key that names it among its siblings; this package knows nothing of what types mean.
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
