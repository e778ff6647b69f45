"""How to run an exported file in Python, from the file of a photograph on: Pillow resizes as training does."""

from __future__ import annotations

from hwnas.preprocessing import LARGEST_CENTRED, WHOLE
from hwnas.report.usage import Usage

LABELS_SHOWN = 20
"""Snippets spell out no more class names than this: they stand in the file's metadata."""


def tflite_python(usage: Usage) -> str:
    return f"""
# pip install ai-edge-litert numpy pillow
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image, ImageOps

interpreter = Interpreter(model_path="{usage.file}", num_threads=1)
interpreter.allocate_tensors()

{_python_prepared(usage)}

def scores(file):
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], prepared(file))
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0]

{_python_answer(usage)}
"""


def onnx_python(usage: Usage) -> str:
    return f"""
# pip install onnxruntime numpy pillow
import numpy as np
import onnxruntime
from PIL import Image, ImageOps

session = onnxruntime.InferenceSession("{usage.file}", providers=["CPUExecutionProvider"])

{_python_prepared(usage)}

def scores(file):
    return session.run(None, {{"{usage.input_name}": prepared(file)}})[0][0]

{_python_answer(usage)}
"""


def _python_prepared(usage: Usage) -> str:
    """The function from an image file to the input."""
    (height, width), seen = usage.size, usage.preprocessing
    crop = None if seen is None else seen.crop
    side = 2 * max(height, width)
    fitted = {
        LARGEST_CENTRED: f"ImageOps.fit(image, ({width}, {height}), Image.Resampling.BILINEAR)",
        WHOLE: f"image.resize(({width}, {height}), Image.Resampling.BILINEAR)",
        None: f"image.resize(({width}, {height}))  # cut and resize as in training: that was not recorded",
    }[crop]
    if usage.pixels:
        values = "values = np.asarray(image)"
    elif seen is not None:
        values = f"values = (np.asarray(image) / 255 - {list(seen.mean)}) / {list(seen.std)}"
    else:
        values = "values = np.asarray(image) / 255  # then as in training: the normalisation was not recorded"
    if usage.channels == 1:
        values = values.replace("np.asarray(image)", "np.asarray(image)[:, :, None]")
    turned = "" if usage.layout == "NHWC" else ".transpose(2, 0, 1)"
    return f"""
def prepared(file):
    image = Image.open(file)
    image.draft(None, ({side}, {side}))  # decodes a large JPEG at a fraction of its size, which is faster
    image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    if image.mode.startswith("I"):  # of 16 bits
        image = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
    image = image.convert("{"RGB" if usage.channels == 3 else "L"}")
    image = {fitted}
    {values}
    return values{turned}[None].astype(np.{"uint8" if usage.pixels else "float32"})
""".strip()


def _python_answer(usage: Usage) -> str:
    if 0 < len(usage.labels) <= LABELS_SHOWN:
        return f'labels = {list(usage.labels)!r}\nprint(labels[scores("photo.jpg").argmax()])'
    return 'print(scores("photo.jpg").argmax())'
