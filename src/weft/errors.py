"""Exceptions. Each is a ``WeftError``, and a subclass of the class that PyTorch, or Python, raises for that mistake.

Messages state the operation, the argument, the value given, the value expected, and what to do.
"""

from __future__ import annotations


class WeftError(Exception):
    """The base of all errors that weft raises on purpose."""


class ShapeError(WeftError, RuntimeError):
    """A size, rank or stride that an operation cannot take."""


class DTypeError(WeftError, TypeError):
    """An element type that an operation, or a device, cannot take."""


class ArgumentError(WeftError, ValueError):
    """An argument outside its allowed values."""


class NumberRangeError(WeftError, ValueError, OverflowError, RuntimeError):
    """A number that does not fit its data type, given or computed."""


class ArgumentTypeError(WeftError, TypeError):
    """An argument of a Python type that is not accepted, or a missing or unknown argument."""


class IndexOutOfRangeError(WeftError, IndexError):
    """An index outside the dimension that it indexes."""


class DeviceError(WeftError, RuntimeError):
    """A device that is missing or lost, or is not the device of a tensor."""


class DisposedError(DeviceError):
    """A tensor or device used after ``dispose()``."""


class OutOfMemoryError(DeviceError, MemoryError):
    """A device has not enough memory for an allocation."""


class KernelError(WeftError, RuntimeError):
    """A kernel that does not compile or does not fit its device."""


class GradError(WeftError, RuntimeError):
    """A gradient that the tape cannot compute."""


class NotANumberError(WeftError, FloatingPointError, RuntimeError):
    """A NaN that was computed under ``weft.debug(nan=True)``."""


class ExpressionError(WeftError, SyntaxError):
    """A scalar expression that does not parse or type-check."""


class LinAlgError(WeftError, RuntimeError):
    """A matrix without the requested decomposition, or for which its iteration did not converge."""


class StateError(WeftError, RuntimeError):
    """A state dict that does not fit the module into which it is loaded."""


class WorkerTimeoutError(WeftError, RuntimeError, TimeoutError):
    """A batch that a data loader's thread did not produce before the timeout."""


class UnsupportedError(WeftError, NotImplementedError):
    """A combination that weft does not support; the message names the supported ones."""


class AbsentError(WeftError, AttributeError):
    """A name of PyTorch that weft does not have; the message says what to write instead."""


class MissingPackageError(WeftError, ImportError):
    """A package of an extra of weft that is not installed."""


class Aborted(WeftError, RuntimeError):
    """A result that is no longer available: its computation was replaced or closed before the result was read."""


class Superseded(Aborted):
    """A queued call that was dropped because a newer call arrived."""


class FormatError(WeftError, ValueError):
    """A file whose contents do not follow its format."""


class PathError(WeftError, OSError):
    """A path that names no regular file: a device, a FIFO, a loop of links, a name that is too long."""


class MissingFileError(PathError, FileNotFoundError):
    """A path at which there is no file, or whose folder does not exist."""


class DirectoryError(PathError, IsADirectoryError):
    """A path that names a directory where a file is expected."""


class ReadOnlyError(WeftError, RuntimeError):
    """A value that may not be written in place."""


def mistake(where: str, argument: str, given: object, expected: object, fix: str = "") -> str:
    """Return an error message: ``where: argument is given, expected …; fix``.

    >>> mistake("softmax", "dim", 3, "-2 to 1", "the tensor has 2 dimensions")
    'softmax: dim is 3, expected -2 to 1; the tensor has 2 dimensions'
    """
    text = f"{where}: {argument} is {given}, expected {expected}"
    return f"{text}; {fix}" if fix else text
