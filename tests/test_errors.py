"""Every error is a ``WeftError`` and an instance of the class that PyTorch or Python raises for the same mistake."""

from __future__ import annotations

import inspect
import pickle

import pytest

from weft import errors
from weft.errors import WeftError, mistake

STANDARD = {
    "NumberRangeError": RuntimeError, "PathError": OSError, "MissingFileError": FileNotFoundError,
    "DirectoryError": IsADirectoryError,
    "ShapeError": RuntimeError, "DTypeError": TypeError, "ArgumentError": ValueError, "ArgumentTypeError": TypeError,
    "IndexOutOfRangeError": IndexError, "DeviceError": RuntimeError, "DisposedError": RuntimeError,
    "OutOfMemoryError": MemoryError, "KernelError": RuntimeError, "GradError": RuntimeError,
    "ExpressionError": SyntaxError, "UnsupportedError": NotImplementedError, "FormatError": ValueError,
    "ReadOnlyError": RuntimeError, "StateError": RuntimeError, "NotANumberError": FloatingPointError,
    "MissingPackageError": ImportError, "LinAlgError": RuntimeError,
    "AbsentError": AttributeError, "Aborted": RuntimeError, "Superseded": RuntimeError, "WorkerTimeoutError": RuntimeError,
}  # fmt: skip
CLASSES = {
    name: found
    for name, found in inspect.getmembers(errors, inspect.isclass)
    if issubclass(found, WeftError) and found is not WeftError
}


@pytest.mark.parametrize("name", CLASSES)
def test_an_error_is_caught_under_both_names(name: str) -> None:
    assert name in STANDARD, f"say here which standard exception {name} also is"
    error = CLASSES[name]
    assert issubclass(error, STANDARD[name])
    with pytest.raises(STANDARD[name], match="what went wrong") as caught:
        raise error("what went wrong")
    assert isinstance(caught.value, WeftError)


@pytest.mark.parametrize("name", CLASSES)
def test_an_error_says_what_it_is_for_and_pickles(name: str) -> None:
    assert CLASSES[name].__doc__
    again = pickle.loads(pickle.dumps(CLASSES[name]("message")))
    assert type(again) is CLASSES[name]
    assert str(again) == "message"


def test_no_expected_class_is_missing() -> None:
    assert CLASSES.keys() == STANDARD.keys()


def test_messages_have_one_form() -> None:
    assert mistake("cat", "dim", 3, "-2 to 1") == "cat: dim is 3, expected -2 to 1"
    assert (
        mistake("add", "other", "int32", "float32", "cast it")
        == "add: other is int32, expected float32; cast it"
    )
