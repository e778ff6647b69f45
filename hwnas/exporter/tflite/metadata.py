"""TensorFlow Lite Metadata: labels and normalisation inside a .tflite, where Android's and MediaPipe's tools look.

It has no word for how a photograph is cut and resized: that is an entry of its own, in JSON, and a description.

A flatbuffer of its own, identifier M001, in the model's entry ``TFLITE_METADATA``; the labels are a zip archive behind
the model, which readers of the model do not see. Its fields are in `hwnas.inspection.metadata_fields`.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import TypeVar

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

from hwnas.exporter.model_file.metadata import ModelMetadata
from hwnas.exporter.tflite.file import packed, unpacked
from hwnas.inspection.metadata_fields import (
    IMAGE_PROPERTIES,
    NORMALIZATION_OPTIONS,
    RGB,
    TENSOR_AXIS_LABELS,
    TFLITE_ENTRY,
    TFLITE_IDENTIFIER,
    TFLITE_PREPROCESSING,
    ContentField,
    FileField,
    ImageField,
    ImageSizeField,
    ModelField,
    NormalizationField,
    ProcessUnitField,
    SubgraphField,
    TensorField,
)

LABELS_FILE = "labels.txt"
Field = TypeVar("Field", bound=IntEnum)

MIN_PARSER_VERSION = "1.0.0"
"""The oldest parser that knows every field used here."""

_ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the archive's own zero: equal labels must give equal bytes


def tflite_with_metadata(model: bytes, metadata: ModelMetadata) -> bytes:
    """The .tflite file with `metadata` in it. Nothing about the time or the machine is stored."""
    file = unpacked(model)
    entries = {TFLITE_ENTRY: _metadata_bytes(metadata)}
    if (preprocessing := metadata.preprocessing_of("NHWC")) is not None:
        entries[TFLITE_PREPROCESSING] = preprocessing.text().encode()
    for name, content in entries.items():
        file.buffers.append(schema.BufferT(data=content))
        file.metadata = [*(file.metadata or []), schema.MetadataT(name.encode(), len(file.buffers) - 1)]
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
    if (preprocessing := metadata.preprocessing_of("NHWC")) is not None:
        what = f"{what}. {' '.join(preprocessing.steps)}"
    inputs = [_tensor(builder, text("image"), text(what), _image_content(builder, metadata.image_size), units, [])]
    ends = {SubgraphField.INPUTS: _offsets(builder, inputs), SubgraphField.OUTPUTS: _offsets(builder, outputs)}
    subgraph = _table(builder, ends)
    fields = {
        ModelField.NAME: text("hwnas"),
        ModelField.DESCRIPTION: text("image classifier"),
        ModelField.SUBGRAPHS: _offsets(builder, [subgraph]),
        ModelField.MIN_PARSER_VERSION: text(MIN_PARSER_VERSION),
    }
    builder.Finish(_table(builder, fields), TFLITE_IDENTIFIER)
    return bytes(builder.Output())


def _tensor(
    builder: flatbuffers.Builder, name: int, description: int, content: int | None, units: list[int], files: list[int]
) -> int:
    """A TensorMetadata; every argument is the offset of an object built before."""
    fields = {TensorField.NAME: name, TensorField.DESCRIPTION: description}
    if content is not None:
        fields[TensorField.CONTENT] = content
    for field, entries in ((TensorField.PROCESS_UNITS, units), (TensorField.ASSOCIATED_FILES, files)):
        if entries:
            fields[field] = _offsets(builder, entries)
    return _table(builder, fields)


def _labels_file(builder: flatbuffers.Builder) -> int:
    name, description = builder.CreateString(LABELS_FILE), builder.CreateString("the classes, one per line")
    fields = {FileField.NAME: name, FileField.DESCRIPTION: description}
    return _table(builder, fields, lambda: builder.PrependInt8Slot(FileField.TYPE, TENSOR_AXIS_LABELS, 0))


def _image_content(builder: flatbuffers.Builder, size: tuple[int, int]) -> int:
    height, width = size
    builder.StartObject(len(ImageSizeField))
    builder.PrependUint32Slot(ImageSizeField.WIDTH, width, 0)
    builder.PrependUint32Slot(ImageSizeField.HEIGHT, height, 0)
    image_size = builder.EndObject()
    properties = _table(
        builder,
        {ImageField.DEFAULT_SIZE: image_size},
        lambda: builder.PrependInt8Slot(ImageField.COLOR_SPACE, RGB, 0),
    )
    return _table(
        builder,
        {ContentField.PROPERTIES: properties},
        lambda: builder.PrependUint8Slot(ContentField.PROPERTIES_KIND, IMAGE_PROPERTIES, 0),
    )


def _normalisation(builder: flatbuffers.Builder, mean: Sequence[float], std: Sequence[float]) -> int:
    """A ProcessUnit: (pixel - mean) / std, per channel or one number for all."""
    values = {NormalizationField.MEAN: _floats(builder, mean), NormalizationField.STD: _floats(builder, std)}
    options = _table(builder, values)
    return _table(
        builder,
        {ProcessUnitField.OPTIONS: options},
        lambda: builder.PrependUint8Slot(ProcessUnitField.OPTIONS_KIND, NORMALIZATION_OPTIONS, 0),
    )


def _table(
    builder: flatbuffers.Builder, offsets: Mapping[Field, int], scalars: Callable[[], None] | None = None
) -> int:
    """A table of the fields of an enumeration, of which those in `offsets` point to objects built before."""
    builder.StartObject(len(type(next(iter(offsets)))))
    for field, offset in offsets.items():
        builder.PrependUOffsetTRelativeSlot(field, offset, 0)
    if scalars is not None:
        scalars()
    table: int = builder.EndObject()
    return table


def _offsets(builder: flatbuffers.Builder, offsets: Sequence[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    vector: int = builder.EndVector()
    return vector


def _floats(builder: flatbuffers.Builder, values: Sequence[float]) -> int:
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependFloat32(value)
    vector: int = builder.EndVector()
    return vector
