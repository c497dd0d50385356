"""Exceptions. Each is a ``WeftError`` and also the class that PyTorch, or Python, raises for that mistake.

Messages follow one pattern: where, which argument, what was given, what was expected, what to do.
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
    """A number that its data type does not hold, given or computed."""


class ArgumentTypeError(WeftError, TypeError):
    """An argument of a Python type that is not accepted, or a missing or unknown argument."""


class IndexOutOfRangeError(WeftError, IndexError):
    """An index outside the dimension that it indexes."""


class DeviceError(WeftError, RuntimeError):
    """A device that is missing, lost, or not the one where a tensor lives."""


class DisposedError(DeviceError):
    """A tensor or device used after ``dispose()``."""


class OutOfMemoryError(DeviceError, MemoryError):
    """A device could not give the memory asked for."""


class KernelError(WeftError, RuntimeError):
    """A kernel that does not compile or does not fit its device."""


class GradError(WeftError, RuntimeError):
    """Automatic differentiation asked for what the tape cannot give."""


class NotANumberError(WeftError, FloatingPointError, RuntimeError):
    """A NaN came up while ``weft.debug(nan=True)`` looks for them."""


class ExpressionError(WeftError, SyntaxError):
    """A scalar expression that does not parse or type-check."""


class LinAlgError(WeftError, RuntimeError):
    """A matrix that a decomposition does not exist for, or did not converge for."""


class StateError(WeftError, RuntimeError):
    """A state dict that does not fit the module that it is loaded into."""


class WorkerTimeoutError(WeftError, RuntimeError, TimeoutError):
    """A batch that a data loader's thread did not make in time."""


class UnsupportedError(WeftError, NotImplementedError):
    """A combination that weft does not do; the message names what it does."""


class AbsentError(WeftError, AttributeError):
    """A name of PyTorch's that weft does not have; the message says what to write instead."""


class MissingPackageError(WeftError, ImportError):
    """A package that an extra of weft's installs and that is not there."""


class Aborted(WeftError, RuntimeError):
    """A result that is not there any more: what computes it was replaced or closed before it was read."""


class Superseded(Aborted):
    """A call that waited for its turn when a newer one came."""


class FormatError(WeftError, ValueError):
    """A file that is not what it claims to be."""


class PathError(WeftError, OSError):
    """A path that names no regular file: a device, a FIFO, a loop of links, a name that is too long."""


class MissingFileError(PathError, FileNotFoundError):
    """A path at which there is no file, or whose folder is not there."""


class DirectoryError(PathError, IsADirectoryError):
    """A path that names a directory where a file is expected."""


class ReadOnlyError(WeftError, RuntimeError):
    """A value that may not be written in place."""


def mistake(where: str, argument: str, given: object, expected: object, fix: str = "") -> str:
    """The one message form: ``where: argument is given, expected …; fix``."""
    text = f"{where}: {argument} is {given}, expected {expected}"
    return f"{text}; {fix}" if fix else text
