"""Which class of a folder each output of a model file stands for: by its labels, or by their order."""

from __future__ import annotations

import unicodedata

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import HwnasError
from hwnas.exporter.model_input import ModelInput
from hwnas.inspection.network import printable
from hwnas.train.split_images import shown_names


def output_classes(model: ModelInput, classes: tuple[str, ...]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """The class (-1: none of the folder's) that each output stands for, and what is to be said of that.

    Raises HwnasError if the outputs of a file cannot be those of the folder.
    """
    labels = tuple(unicodedata.normalize("NFC", label) for label in model.labels)
    # labels were read to be printed: long ones are cut off, and odd characters replaced
    known = {printable(name): position for position, name in enumerate(classes)}
    notes = list(model.assumed)
    distinct = len(set(labels)) == len(labels) and len(known) == len(classes)
    if labels and distinct and model.outputs in (None, len(labels)):
        unknown = [name for name in known if name not in labels]
        if unknown:
            raise HwnasError(
                f"{model.path} gives the classes {shown_names(labels)}, and the folder has {shown_names(unknown)}, "
                "which it does not know. Give the images of its classes, in folders of the same names."
            )
        if len(labels) > len(classes):
            others = [label for label in labels if label not in known]
            notes.append(f"the folder has no images of {len(others)} of its classes: {shown_names(others)}")
        return np.array([known.get(label, -1) for label in labels]), tuple(notes)
    if model.outputs is not None and model.outputs != len(classes):
        raise HwnasError(
            f"{model.path} gives {model.outputs} outputs, and the folder has {len(classes)} classes "
            f"({shown_names(classes)}): accuracy needs one output per class. Give the images that it was trained on."
        )
    reason = "its labels do not tell its outputs apart" if labels else "the file has no labels"
    notes.append(
        f"{reason}: its outputs were taken for the classes in the order of their names, {shown_names(classes)}"
    )
    return np.arange(len(classes)), tuple(notes)
