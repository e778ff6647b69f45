"""The metadata that an exporter writes into model files and an inspection reads: names and numbers, each stated once.

TensorFlow Lite Metadata is a flatbuffer whose fields go by number, the members of these enumerations in their order:
https://github.com/tensorflow/tflite-support/blob/master/tensorflow_lite_support/metadata/metadata_schema.fbs
An .onnx has properties, which go by name.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

TFLITE_ENTRY, TFLITE_IDENTIFIER = "TFLITE_METADATA", b"M001"
"""The entry of a .tflite whose buffer is the metadata, and the identifier that the metadata begins with."""


TFLITE_PREPROCESSING = "hwnas_preprocessing"
"""The entry of a .tflite that holds a Preprocessing as JSON: TensorFlow Lite Metadata has neither crop nor filter."""


class OnnxProperty(StrEnum):
    """Properties of an .onnx: labels are one per line, mean and deviation JSON lists for pixels in 0..255; the
    preprocessing is JSON of all of it."""

    LABELS = "labels"
    MEAN = "mean"
    STD = "std"
    COLOR_ORDER = "color_order"
    OUTPUT = "output"
    PREPROCESSING = "preprocessing"


class ModelField(IntEnum):
    """Fields of the table ModelMetadata, the root."""

    NAME = 0
    DESCRIPTION = 1
    VERSION = 2
    SUBGRAPHS = 3
    AUTHOR = 4
    LICENSE = 5
    ASSOCIATED_FILES = 6
    MIN_PARSER_VERSION = 7


class SubgraphField(IntEnum):
    """Fields of the table SubGraphMetadata."""

    NAME = 0
    DESCRIPTION = 1
    INPUTS = 2
    OUTPUTS = 3
    ASSOCIATED_FILES = 4
    INPUT_PROCESS_UNITS = 5
    OUTPUT_PROCESS_UNITS = 6
    INPUT_GROUPS = 7
    OUTPUT_GROUPS = 8
    CUSTOM_METADATA = 9


class TensorField(IntEnum):
    """Fields of the table TensorMetadata."""

    NAME = 0
    DESCRIPTION = 1
    DIMENSION_NAMES = 2
    CONTENT = 3
    PROCESS_UNITS = 4
    STATS = 5
    ASSOCIATED_FILES = 6


class ContentField(IntEnum):
    """Fields of the table Content; the first says which table the second is."""

    PROPERTIES_KIND = 0
    PROPERTIES = 1
    RANGE = 2


class ImageField(IntEnum):
    """Fields of the table ImageProperties."""

    COLOR_SPACE = 0
    DEFAULT_SIZE = 1


class ImageSizeField(IntEnum):
    """Fields of the table ImageSize."""

    WIDTH = 0
    HEIGHT = 1


class ProcessUnitField(IntEnum):
    """Fields of the table ProcessUnit; the first says which table the second is."""

    OPTIONS_KIND = 0
    OPTIONS = 1


class NormalizationField(IntEnum):
    """Fields of the table NormalizationOptions."""

    MEAN = 0
    STD = 1


class FileField(IntEnum):
    """Fields of the table AssociatedFile."""

    NAME = 0
    DESCRIPTION = 1
    TYPE = 2
    LOCALE = 3
    VERSION = 4


IMAGE_PROPERTIES, RGB, NORMALIZATION_OPTIONS, TENSOR_AXIS_LABELS = 2, 1, 1, 2
"""Values: of `ContentField.PROPERTIES_KIND`, `ImageField.COLOR_SPACE`, `ProcessUnitField.OPTIONS_KIND` and
`FileField.TYPE`."""
