"""How to run an exported file in an app: Kotlin, Swift, Python and C++, for LiteRT and for ONNX Runtime.

Sources: LiteRT's CompiledModel (Kotlin) and TensorFlowLiteSwift references at https://developers.google.com/edge, the
TensorFlow Lite C++ reference, and ONNX Runtime's Java, Objective-C and C++ references at https://onnxruntime.ai/docs.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import PurePath

LABELS_SHOWN = 20
"""Snippets spell out no more class names than this: they stand in the file's metadata."""


@dataclass(frozen=True)
class Usage:
    """The facts of a file that a snippet uses.

    Args:
        file: Its name.
        shape: Of the input as the file has it: NHWC in a .tflite, NCHW in an .onnx.
        input_name, output_name: Of the tensors.
        pixels: The input is uint8, 0 to 255; float32 and normalised otherwise.
        mean, std: Per channel, of pixels from 0 to 1; empty: not recorded.
        labels: Of the outputs; empty: not recorded.
    """

    file: str
    shape: tuple[int, ...]
    input_name: str
    output_name: str
    pixels: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]
    labels: tuple[str, ...]

    @property
    def format(self) -> str:
        return PurePath(self.file).suffix[1:]

    @property
    def stem(self) -> str:
        return PurePath(self.file).stem

    @property
    def image(self) -> str:
        """The values that an app puts into the input, in words."""
        order = "row by row, channels together" if self.format == "tflite" else "one channel after the other"
        if self.pixels:
            return f"{prod(self.shape)} bytes: the pixels, 0 to 255, {order}"
        return f"{prod(self.shape)} floats, normalised as above, {order}"


def snippets(usage: Usage) -> dict[str, tuple[str, str]]:
    """Language -> (its name in Markdown, the code)."""
    written = SNIPPETS[usage.format]
    codes = {"Kotlin (Android)": "kotlin", "Swift (iOS)": "swift", "Python": "python", "C++": "cpp"}
    return {
        language: (code, write(usage).strip()) for (language, code), write in zip(codes.items(), written, strict=True)
    }


def _python_image(usage: Usage) -> str:
    """The lines from pixels to the input, as NumPy."""
    height, width, channels = usage.shape[1:] if usage.format == "tflite" else (*usage.shape[2:], usage.shape[1])
    lines = [f"pixels = np.zeros(({height}, {width}, {channels}), np.uint8)  # your image: RGB, resized to this"]
    image = "pixels" if usage.pixels else "image"
    if not usage.pixels and usage.std:
        lines.append(f"image = (pixels / 255 - {list(usage.mean)}) / {list(usage.std)}")
    elif not usage.pixels:
        lines.append("image = pixels / 255  # then as in training: the normalisation was not recorded")
    moved = f"{image}[None]" if usage.format == "tflite" else f"{image}.transpose(2, 0, 1)[None]"
    lines.append(f"batch = {moved}.astype(np.{'uint8' if usage.pixels else 'float32'})")
    return "\n".join(lines)


def _python_answer(usage: Usage) -> str:
    if 0 < len(usage.labels) <= LABELS_SHOWN:
        return f"labels = {list(usage.labels)!r}\nprint(labels[scores.argmax()])"
    return "print(scores.argmax())"


def _tflite_kotlin(usage: Usage) -> str:
    write = "writeInt8" if usage.pixels else "writeFloat"
    return f"""
// build.gradle: implementation("com.google.ai.edge.litert:litert:2.3.0")
import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel

val model = CompiledModel.create(context.assets, "{usage.file}", CompiledModel.Options(Accelerator.CPU))
val inputs = model.createInputBuffers()
val outputs = model.createOutputBuffers()
inputs[0].{write}(image)  // {usage.image}
model.run(inputs, outputs)
val scores: FloatArray = outputs[0].readFloat()
"""


def _tflite_swift(usage: Usage) -> str:
    return f"""
// Podfile: pod 'TensorFlowLiteSwift'
import TensorFlowLite

var options = Interpreter.Options()
options.threadCount = 1
options.isXNNPackEnabled = true  // off by default in Swift, and several times faster
let path = Bundle.main.path(forResource: "{usage.stem}", ofType: "tflite")!
let interpreter = try Interpreter(modelPath: path, options: options)
try interpreter.allocateTensors()
// image, an array: {usage.image}
try interpreter.copy(image.withUnsafeBufferPointer {{ Data(buffer: $0) }}, toInputAt: 0)
try interpreter.invoke()
let scores = try interpreter.output(at: 0).data.withUnsafeBytes {{ Array($0.bindMemory(to: Float32.self)) }}
"""


def _tflite_python(usage: Usage) -> str:
    return f"""
# pip install ai-edge-litert numpy
import numpy as np
from ai_edge_litert.interpreter import Interpreter

interpreter = Interpreter(model_path="{usage.file}", num_threads=1)
interpreter.allocate_tensors()
{_python_image(usage)}
interpreter.set_tensor(interpreter.get_input_details()[0]["index"], batch)
interpreter.invoke()
scores = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0]
{_python_answer(usage)}
"""


def _tflite_cpp(usage: Usage) -> str:
    number = "uint8_t" if usage.pixels else "float"
    return f"""
#include "tensorflow/lite/interpreter.h"  // in LiteRT's own repository: tflite/interpreter.h, and so on
#include "tensorflow/lite/kernels/register.h"
#include "tensorflow/lite/model.h"

auto model = tflite::FlatBufferModel::BuildFromFile("{usage.file}");
tflite::ops::builtin::BuiltinOpResolver resolver;
std::unique_ptr<tflite::Interpreter> interpreter;
tflite::InterpreterBuilder(*model, resolver)(&interpreter);
interpreter->SetNumThreads(1);
interpreter->AllocateTensors();
// image, a vector: {usage.image}
std::copy(image.begin(), image.end(), interpreter->typed_input_tensor<{number}>(0));
interpreter->Invoke();
const float* scores = interpreter->typed_output_tensor<float>(0);
"""


def _onnx_kotlin(usage: Usage) -> str:
    shape = ", ".join(map(str, usage.shape))
    buffer, kind = (
        ("ByteBuffer.wrap(image)", ", OnnxJavaType.UINT8") if usage.pixels else ("FloatBuffer.wrap(image)", "")
    )
    return f"""
// build.gradle: implementation("com.microsoft.onnxruntime:onnxruntime-android:latest.release")
import ai.onnxruntime.*
import java.nio.*

val environment = OrtEnvironment.getEnvironment()
val session = environment.createSession(context.assets.open("{usage.file}").readBytes())
// image, an array: {usage.image}
val input = OnnxTensor.createTensor(environment, {buffer}, longArrayOf({shape}){kind})
val scores = session.run(mapOf("{usage.input_name}" to input)).use {{ (it[0].value as Array<FloatArray>)[0] }}
"""


def _onnx_swift(usage: Usage) -> str:
    kind, element = ("uInt8", "UInt8") if usage.pixels else ("float", "Float")
    return f"""
// Swift package: https://github.com/microsoft/onnxruntime-swift-package-manager
import OnnxRuntimeBindings

let path = Bundle.main.path(forResource: "{usage.stem}", ofType: "onnx")!
let session = try ORTSession(env: ORTEnv(loggingLevel: .warning), modelPath: path, sessionOptions: nil)
// image, an array: {usage.image}
let data = NSMutableData(bytes: image, length: image.count * MemoryLayout<{element}>.size)
let input = try ORTValue(tensorData: data, elementType: .{kind}, shape: {list(usage.shape)})
let name = "{usage.output_name}"
let outputs = try session.run(withInputs: ["{usage.input_name}": input], outputNames: [name], runOptions: nil)
let scores = (try outputs[name]!.tensorData() as Data).withUnsafeBytes {{ Array($0.bindMemory(to: Float.self)) }}
"""


def _onnx_python(usage: Usage) -> str:
    return f"""
# pip install onnxruntime numpy
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("{usage.file}", providers=["CPUExecutionProvider"])
{_python_image(usage)}
scores = session.run(None, {{"{usage.input_name}": batch}})[0][0]
{_python_answer(usage)}
"""


def _onnx_cpp(usage: Usage) -> str:
    number = "uint8_t" if usage.pixels else "float"
    shape = ", ".join(map(str, usage.shape))
    return f"""
#include <onnxruntime_cxx_api.h>

Ort::Env environment;
Ort::Session session(environment, ORT_TSTR("{usage.file}"), Ort::SessionOptions{{}});
// image, a vector: {usage.image}
std::array<int64_t, {len(usage.shape)}> shape{{{shape}}};
auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
auto input = Ort::Value::CreateTensor<{number}>(memory, image.data(), image.size(), shape.data(), shape.size());
const char* inputs[] = {{"{usage.input_name}"}};
const char* outputs[] = {{"{usage.output_name}"}};
auto results = session.Run(Ort::RunOptions{{}}, inputs, &input, 1, outputs, 1);
const float* scores = results[0].GetTensorData<float>();
"""


SNIPPETS = {
    "tflite": (_tflite_kotlin, _tflite_swift, _tflite_python, _tflite_cpp),
    "onnx": (_onnx_kotlin, _onnx_swift, _onnx_python, _onnx_cpp),
}
"""Format -> the writers of its snippets, in the order of the languages."""
