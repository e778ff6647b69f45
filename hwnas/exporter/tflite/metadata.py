"""TensorFlow Lite Metadata: labels and normalisation inside a .tflite, where Android's and MediaPipe's tools look.

A flatbuffer of its own, identifier M001, in the model's entry ``TFLITE_METADATA``; the labels are a zip archive behind
the model, which readers of the model do not see. Schema and field numbers:
https://github.com/tensorflow/tflite-support/blob/master/tensorflow_lite_support/metadata/metadata_schema.fbs
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

from hwnas.exporter.metadata import ModelMetadata
from hwnas.exporter.tflite.file import packed, unpacked

ENTRY, IDENTIFIER, LABELS_FILE = b"TFLITE_METADATA", b"M001", "labels.txt"
MIN_PARSER_VERSION = "1.0.0"
"""The oldest parser that knows every field used here."""

_NORMALISATION_OPTIONS, _IMAGE_PROPERTIES, _RGB, _TENSOR_AXIS_LABELS = 1, 2, 1, 2
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the archive's own zero: equal labels must give equal bytes


def tflite_with_metadata(model: bytes, metadata: ModelMetadata) -> bytes:
    """The .tflite file with `metadata` in it. Nothing about the time or the machine is stored."""
    file = unpacked(model)
    file.buffers.append(schema.BufferT(data=_metadata_bytes(metadata)))
    file.metadata = [*(file.metadata or []), schema.MetadataT(ENTRY, len(file.buffers) - 1)]
    data = packed(file)
    return _with_labels(data, metadata.labels) if metadata.classes else data


def _with_labels(model: bytes, labels: str) -> bytes:
    archive = io.BytesIO(model)
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_STORED) as files:
        entry = zipfile.ZipInfo(LABELS_FILE, _ZIP_DATE)
        entry.create_system, entry.external_attr = 3, 0o644 << 16
        files.writestr(entry, labels.encode())
    return archive.getvalue()


def _metadata_bytes(metadata: ModelMetadata) -> bytes:
    """The flatbuffer: one model, one subgraph, one input, one output."""
    builder = flatbuffers.Builder(1024)
    text = builder.CreateString
    scores = text(metadata.output_text)
    outputs = [_tensor(builder, text("scores"), scores, None, [], [_labels_file(builder)] if metadata.classes else [])]
    units = [] if metadata.pixel_mean_and_std is None else [_normalisation(builder, *metadata.pixel_mean_and_std)]
    what = "RGB image, uint8 in 0..255" if metadata.uint8_input else "RGB image, float32, normalised"
    inputs = [_tensor(builder, text("image"), text(what), _image_content(builder, metadata.image_size), units, [])]
    subgraph = _table(builder, 10, {2: _offsets(builder, inputs), 3: _offsets(builder, outputs)})
    fields = {0: text("hwnas"), 1: text("image classifier"), 3: _offsets(builder, [subgraph])}
    fields[7] = text(MIN_PARSER_VERSION)
    builder.Finish(_table(builder, 8, fields), IDENTIFIER)
    return bytes(builder.Output())


def _tensor(
    builder: flatbuffers.Builder, name: int, description: int, content: int | None, units: list[int], files: list[int]
) -> int:
    """A TensorMetadata; everything is the offset of what was built before."""
    fields = {0: name, 1: description}
    if content is not None:
        fields[3] = content
    for slot, entries in ((4, units), (6, files)):
        if entries:
            fields[slot] = _offsets(builder, entries)
    return _table(builder, 7, fields)


def _labels_file(builder: flatbuffers.Builder) -> int:
    name, description = builder.CreateString(LABELS_FILE), builder.CreateString("the classes, one per line")
    fields = {0: name, 1: description}
    return _table(builder, 5, fields, lambda: builder.PrependInt8Slot(2, _TENSOR_AXIS_LABELS, 0))


def _image_content(builder: flatbuffers.Builder, size: tuple[int, int]) -> int:
    height, width = size
    builder.StartObject(2)
    builder.PrependUint32Slot(0, width, 0)
    builder.PrependUint32Slot(1, height, 0)
    image_size = builder.EndObject()
    properties = _table(builder, 2, {1: image_size}, lambda: builder.PrependInt8Slot(0, _RGB, 0))
    return _table(builder, 3, {1: properties}, lambda: builder.PrependUint8Slot(0, _IMAGE_PROPERTIES, 0))


def _normalisation(builder: flatbuffers.Builder, mean: Sequence[float], std: Sequence[float]) -> int:
    """A ProcessUnit: (pixel - mean) / std, per channel or one number for all."""
    options = _table(builder, 2, {0: _floats(builder, mean), 1: _floats(builder, std)})
    return _table(builder, 2, {1: options}, lambda: builder.PrependUint8Slot(0, _NORMALISATION_OPTIONS, 0))


def _table(
    builder: flatbuffers.Builder, slots: int, offsets: dict[int, int], scalars: Callable[[], None] | None = None
) -> int:
    """A table with `slots` fields, of which those in `offsets` point to what was built before."""
    builder.StartObject(slots)
    for slot, offset in offsets.items():
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    if scalars is not None:
        scalars()
    return builder.EndObject()


def _offsets(builder: flatbuffers.Builder, offsets: Sequence[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


def _floats(builder: flatbuffers.Builder, values: Sequence[float]) -> int:
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependFloat32(value)
    return builder.EndVector()
