"""TensorFlow Lite Metadata: names, labels and normalisation that a .tflite carries for the apps which use it.

A flatbuffer with the identifier M001 in the model's entry ``TFLITE_METADATA``; the files it names, such as the labels,
are a zip archive behind the model.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Any, NamedTuple

import flatbuffers
from flatbuffers.number_types import Float32Flags

from hwnas.inspection.metadata_fields import (
    NORMALIZATION_OPTIONS,
    TENSOR_AXIS_LABELS,
    TFLITE_ENTRY,
    TFLITE_IDENTIFIER,
    TFLITE_PREPROCESSING,
    FileField,
    ModelField,
    NormalizationField,
    ProcessUnitField,
    SubgraphField,
    TensorField,
)
from hwnas.inspection.network import printable
from hwnas.inspection.reading import finite
from hwnas.preprocessing import Preprocessing

LABELS_BYTES = 2**20
"""A longer file of labels is not read: a small archive can unpack to a very large one."""

_TEXTS = (
    ModelField.NAME,
    ModelField.DESCRIPTION,
    ModelField.VERSION,
    ModelField.AUTHOR,
    ModelField.LICENSE,
    ModelField.MIN_PARSER_VERSION,
)


class Metadata(NamedTuple):
    """The metadata of a .tflite; fields that it lacks are empty."""

    entries: dict[str, str]
    labels: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    preprocessing: Preprocessing | None


def read_metadata(model: Any, data: bytes) -> Metadata:
    """The metadata of a .tflite."""
    entries = {"description": printable(model.Description())} if model.Description() else {}
    labels: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    preprocessing: Preprocessing | None = None
    for i in range(model.MetadataLength()):
        entry = model.Metadata(i)
        name, buffer = printable(entry.Name()), model.Buffers(entry.Buffer())
        content = b"" if buffer.DataIsNone() else buffer.DataAsNumpy().tobytes()
        if name == TFLITE_ENTRY and content[4:8] == TFLITE_IDENTIFIER:
            root = _Table(content, int.from_bytes(content[:4], "little"))
            entries |= {field.name.lower(): text for field in _TEXTS if (text := root.text(field))}
            labels, mean, std = _of_tensors(root, data)
        elif name == TFLITE_PREPROCESSING:
            preprocessing = Preprocessing.of_text(content.decode("utf-8", "replace"))
        elif len(content) <= 100 and (text := content.decode("utf-8", "replace").strip("\0 ")).isprintable() and text:
            entries[name] = text
    return Metadata(entries, labels, mean, std, preprocessing)


def _of_tensors(root: _Table, data: bytes) -> tuple[tuple[str, ...], tuple[float, ...], tuple[float, ...]]:
    """Labels of the outputs and normalisation of the inputs of the first subgraph that has them."""
    labels: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    for subgraph in root.tables(ModelField.SUBGRAPHS):
        for tensor in subgraph.tables(SubgraphField.INPUTS):
            for unit in tensor.tables(TensorField.PROCESS_UNITS):
                options = unit.table(ProcessUnitField.OPTIONS)
                if (
                    unit.byte(ProcessUnitField.OPTIONS_KIND) == NORMALIZATION_OPTIONS
                    and options is not None
                    and not std
                ):
                    mean = finite(options.floats(NormalizationField.MEAN))
                    std = finite(options.floats(NormalizationField.STD))
        for tensor in subgraph.tables(SubgraphField.OUTPUTS):
            for file in tensor.tables(TensorField.ASSOCIATED_FILES):
                if file.byte(FileField.TYPE) == TENSOR_AXIS_LABELS and not labels:
                    labels = _labels(data, file.text(FileField.NAME))
    return labels, mean, std


def _labels(data: bytes, name: str) -> tuple[str, ...]:
    """The lines of a file in the archive behind a model; none if it is not there, or not to be trusted."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive, archive.open(name) as file:
            content = file.read(LABELS_BYTES + 1)
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError, OSError, EOFError, ValueError):
        return ()
    return tuple(printable(line) for line in content.splitlines()) if len(content) <= LABELS_BYTES else ()


class _Table:
    """One table of a flatbuffer, whose fields go by number."""

    def __init__(self, data: bytes, position: int) -> None:
        self._table = flatbuffers.table.Table(data, position)

    def _offset(self, field: int) -> int:
        return int(self._table.Offset(4 + 2 * field))

    def text(self, field: int) -> str:
        offset = self._offset(field)
        return printable(self._table.String(offset + self._table.Pos)) if offset else ""

    def byte(self, field: int) -> int:
        offset = self._offset(field)
        return self._table.Bytes[offset + self._table.Pos] if offset else 0

    def table(self, field: int) -> _Table | None:
        offset = self._offset(field)
        return _Table(self._table.Bytes, self._table.Indirect(offset + self._table.Pos)) if offset else None

    def tables(self, field: int) -> Iterator[_Table]:
        if offset := self._offset(field):
            start = self._table.Vector(offset)
            for i in range(self._table.VectorLen(offset)):
                yield _Table(self._table.Bytes, self._table.Indirect(start + 4 * i))

    def floats(self, field: int) -> tuple[float, ...]:
        offset = self._offset(field)
        if not offset:
            return ()
        start = self._table.Vector(offset)
        return tuple(
            self._table.Get(Float32Flags, start + Float32Flags.bytewidth * i)
            for i in range(self._table.VectorLen(offset))
        )
