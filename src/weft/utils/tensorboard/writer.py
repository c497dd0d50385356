"""``SummaryWriter``: writes scalars, histograms, pictures and texts as events, by the package ``tensorboard``."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from importlib import import_module
from types import TracebackType
from typing import Any, Self

import numpy

from weft.absent import refused
from weft.errors import ArgumentError, mistake
from weft.utils.tensorboard.values import histogram_of, number_of, picture_of, png, tiled

UNSUPPORTED = (
    "weft writes scalars, histograms, pictures and texts; add_image takes what matplotlib drew, as an array, "
    "and add_text a table of settings"
)


class FileWriter:
    """Writes events to a file in a folder; ``SummaryWriter`` has one for each folder."""

    def __init__(
        self,
        log_dir: str | os.PathLike[str],
        max_queue: int = 10,
        flush_secs: int = 120,
        filename_suffix: str = "",
    ) -> None:
        files = import_module("tensorboard.summary.writer.event_file_writer")
        self._events = import_module("tensorboard.compat.proto.event_pb2")
        self.log_dir = os.fspath(log_dir)
        self.event_writer = files.EventFileWriter(self.log_dir, max_queue, flush_secs, filename_suffix)

    def get_logdir(self) -> str:
        """Return the folder of the file."""
        return self.log_dir

    def add_event(self, event: Any, step: Any = None, walltime: float | None = None) -> None:
        """Write an event with a step and a time in seconds, by default now."""
        event.wall_time = time.time() if walltime is None else walltime
        if step is not None:
            event.step = int(number_of("add_event", "global_step", step))
        self.event_writer.add_event(event)

    def add_summary(self, summary: Any, global_step: Any = None, walltime: float | None = None) -> None:
        """Write a summary as an event."""
        self.add_event(self._events.Event(summary=summary), global_step, walltime)

    def flush(self) -> None:
        """Write the queued events to the file."""
        self.event_writer.flush()

    def close(self) -> None:
        """Write the queued events and close the file."""
        self.event_writer.close()


class SummaryWriter:
    """Writes the reports of a training to a folder that TensorBoard shows; also a context manager.

    Args:
        log_dir: the folder; by default ``runs/`` with the time, the host and ``comment``.
        comment: the suffix of the default folder.
        purge_step: hide the events of an earlier run in the folder from this step on.
        max_queue: the number of queued events at which a call waits.
        flush_secs: seconds between two writes to the file.
        filename_suffix: the end of the files' names.

    Graphs, sounds, videos, embeddings and figures are not written: their methods raise ``UnsupportedError``.

    >>> import weft as wf
    >>> from weft.utils.tensorboard import SummaryWriter             # doctest: +SKIP
    >>> with SummaryWriter("runs/first") as writer:                  # doctest: +SKIP
    ...     writer.add_scalar("loss", wf.tensor(0.5), global_step=1)
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] | None = None,
        comment: str = "",
        purge_step: int | None = None,
        max_queue: int = 10,
        flush_secs: int = 120,
        filename_suffix: str = "",
    ) -> None:
        default = os.path.join("runs", f"{time.strftime('%b%d_%H-%M-%S')}_{socket.gethostname()}{comment}")
        self.log_dir = default if not log_dir else os.fspath(log_dir)
        self._options = (max_queue, flush_secs, filename_suffix)
        self._proto = import_module("tensorboard.compat.proto.summary_pb2")
        self.all_writers: dict[str, FileWriter] = {}
        if purge_step is not None:
            events = import_module("tensorboard.compat.proto.event_pb2")
            log = events.SessionLog(status=events.SessionLog.START)
            self._writer(self.log_dir).add_event(events.Event(session_log=log), purge_step)

    def _writer(self, folder: str) -> FileWriter:
        if folder not in self.all_writers:
            self.all_writers[folder] = FileWriter(folder, *self._options)
        return self.all_writers[folder]

    def _add(self, step: Any, walltime: float | None, folder: str | None = None, **value: Any) -> None:
        summary = self._proto.Summary(value=[self._proto.Summary.Value(**value)])
        self._writer(folder or self.log_dir).add_summary(summary, step, walltime)

    def get_logdir(self) -> str:
        """Return the folder that events are written to."""
        return self.log_dir

    def add_scalar(
        self, tag: str, scalar_value: Any, global_step: Any = None, walltime: float | None = None,
        new_style: bool = False, double_precision: bool = False,
    ) -> None:  # fmt: skip
        """Write a number: a Python number, a NumPy scalar, or a tensor of one element, which is read.

        ``new_style`` and ``double_precision`` are accepted; numbers are written as float32.
        """
        value = number_of("add_scalar", "scalar_value", scalar_value)
        self._add(global_step, walltime, tag=tag, simple_value=value)

    def add_scalars(
        self,
        main_tag: str,
        tag_scalar_dict: Mapping[str, Any],
        global_step: Any = None,
        walltime: float | None = None,
    ) -> None:
        """Write numbers that are shown in the same plot, each to its own folder below ``log_dir``."""
        values = {
            tag: number_of("add_scalars", f"tag_scalar_dict[{tag!r}]", value)
            for tag, value in tag_scalar_dict.items()
        }
        for tag, value in values.items():
            folder = os.path.join(self.log_dir, f"{main_tag.replace('/', '_')}_{tag}")
            self._add(global_step, walltime, folder, tag=main_tag, simple_value=value)

    def add_histogram(
        self, tag: str, values: Any, global_step: Any = None, bins: str | int = "tensorflow",
        walltime: float | None = None, max_bins: int | None = None,
    ) -> None:  # fmt: skip
        """Write a histogram of values; ``bins`` as in ``numpy.histogram``, or ``"tensorflow"``: each 10% wider.

        ``max_bins`` is the largest number of bins of equal width. Raises ``ArgumentError`` for an empty tensor,
        infinities and NaN.
        """
        proto = self._proto.HistogramProto(**histogram_of(values, bins, max_bins))
        self._add(global_step, walltime, tag=tag, histo=proto)

    def add_image(
        self, tag: str, img_tensor: Any, global_step: Any = None, walltime: float | None = None,
        dataformats: str = "CHW",
    ) -> None:  # fmt: skip
        """Write a picture of uint8, or of floating point from 0 to 1; ``dataformats`` is CHW, HWC or HW."""
        self._add_picture(
            "add_image", tag, picture_of("add_image", img_tensor, dataformats), global_step, walltime
        )

    def add_images(
        self, tag: str, img_tensor: Any, global_step: Any = None, walltime: float | None = None,
        dataformats: str = "NCHW",
    ) -> None:  # fmt: skip
        """Write pictures tiled into a single picture with eight columns; ``dataformats`` is NCHW or NHWC."""
        if dataformats not in ("NCHW", "NHWC"):
            raise ArgumentError(mistake("add_images", "dataformats", repr(dataformats), "'NCHW' or 'NHWC'"))
        parts = [picture_of("add_images", part, dataformats[1:]) for part in img_tensor]
        if not parts:
            raise ArgumentError(mistake("add_images", "img_tensor", "no picture", "at least one"))
        self._add_picture("add_images", tag, tiled(parts), global_step, walltime)

    def _add_picture(
        self, where: str, tag: str, picture: numpy.ndarray, step: Any, walltime: float | None
    ) -> None:
        height, width, channels = picture.shape
        image = self._proto.Summary.Image(
            height=height, width=width, colorspace=channels, encoded_image_string=png(where, picture)
        )
        self._add(step, walltime, tag=tag, image=image)

    def add_text(
        self, tag: str, text_string: str, global_step: Any = None, walltime: float | None = None
    ) -> None:
        """Write a text, shown as Markdown."""
        tensors = import_module("tensorboard.compat.proto.tensor_pb2")
        types = import_module("tensorboard.compat.proto.types_pb2")
        shapes = import_module("tensorboard.compat.proto.tensor_shape_pb2")
        shape = shapes.TensorShapeProto(dim=[shapes.TensorShapeProto.Dim(size=1)])
        value = tensors.TensorProto(
            dtype=types.DT_STRING, string_val=[text_string.encode()], tensor_shape=shape
        )
        plugin = self._proto.SummaryMetadata.PluginData(plugin_name="text")
        metadata = self._proto.SummaryMetadata(plugin_data=plugin)
        self._add(global_step, walltime, tag=f"{tag}/text_summary", metadata=metadata, tensor=value)

    def flush(self) -> None:
        """Write the queued events to the files."""
        for writer in self.all_writers.values():
            writer.flush()

    def close(self) -> None:
        """Write the queued events and close the files; a later call opens new files."""
        for writer in self.all_writers.values():
            writer.close()
        self.all_writers.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    for _name in (
        "add_audio add_custom_scalars add_embedding add_figure add_graph add_hparams add_mesh add_onnx_graph "
        "add_pr_curve add_video"
    ).split():
        locals()[_name] = refused(f"SummaryWriter.{_name}", UNSUPPORTED)
    del _name
