"""How to run an exported file in an app: Kotlin, Swift, Python and C++, for LiteRT and for ONNX Runtime.

Sources: LiteRT's CompiledModel (Kotlin) and TensorFlowLiteSwift references at https://developers.google.com/edge, the
TensorFlow Lite C++ reference, and ONNX Runtime's Java, Objective-C and C++ references at https://onnxruntime.ai/docs.
Python has Pillow, which resizes as training does; what ``prepared`` is elsewhere says `hwnas.report.photograph`.
"""

from __future__ import annotations

from hwnas.report.python_snippets import onnx_python, tflite_python
from hwnas.report.usage import Usage


def snippets(usage: Usage) -> dict[str, tuple[str, str]]:
    """Language -> (its name in Markdown, the code)."""
    written = SNIPPETS[usage.format]
    codes = {"Kotlin (Android)": "kotlin", "Swift (iOS)": "swift", "Python": "python", "C++": "cpp"}
    return {
        language: (code, write(usage).strip()) for (language, code), write in zip(codes.items(), written, strict=True)
    }


def _kotlin_values(plane: int, mean: tuple[float, ...], std: tuple[float, ...]) -> tuple[str, ...]:
    at = f"3 * (it % {plane}) + it / {plane}" if plane else "it"
    if not std:
        return ("val pixels = prepared(photo)", f"val image = ByteArray(pixels.size) {{ pixels[{at}].toByte() }}")
    channel = f"it / {plane}" if plane else "it % 3"
    return (
        f"val mean = floatArrayOf({_floats(mean, 'f')})",
        f"val std = floatArrayOf({_floats(std, 'f')})",
        "val pixels = prepared(photo)",
        f"val image = FloatArray(pixels.size) {{ (pixels[{at}] / 255f - mean[{channel}]) / std[{channel}] }}",
    )


def _swift_values(plane: int, mean: tuple[float, ...], std: tuple[float, ...]) -> tuple[str, ...]:
    at = f"3 * ($0 % {plane}) + $0 / {plane}" if plane else "$0"
    if not std:
        return ("let pixels = prepared(photo)", f"let image: [UInt8] = pixels.indices.map {{ pixels[{at}] }}")
    channel = f"$0 / {plane}" if plane else "$0 % 3"
    return (
        f"let mean: [Float] = [{_floats(mean)}], std: [Float] = [{_floats(std)}]",
        "let pixels = prepared(photo)",
        "let image: [Float] = pixels.indices.map {",
        f"    (Float(pixels[{at}]) / 255 - mean[{channel}]) / std[{channel}]",
        "}",
    )


def _cpp_values(plane: int, mean: tuple[float, ...], std: tuple[float, ...]) -> tuple[str, ...]:
    at = f"3 * (i % {plane}) + i / {plane}" if plane else "i"
    if not std:
        return (
            "const std::vector<uint8_t> pixels = prepared(photo, width, height);",
            "std::vector<uint8_t> image(pixels.size());",
            f"for (size_t i = 0; i < image.size(); ++i) image[i] = pixels[{at}];",
        )
    channel = f"i / {plane}" if plane else "i % 3"
    return (
        f"const float mean[] = {{{_floats(mean, 'f')}}}, std[] = {{{_floats(std, 'f')}}};",
        "const std::vector<uint8_t> pixels = prepared(photo, width, height);",
        "std::vector<float> image(pixels.size());",
        "for (size_t i = 0; i < image.size(); ++i)",
        f"  image[i] = (pixels[{at}] / 255.0f - mean[{channel}]) / std[{channel}];",
    )


def _floats(numbers: tuple[float, ...], ending: str = "") -> str:
    return ", ".join(f"{float(number)!r}{ending}" for number in numbers)


def _tflite_kotlin(usage: Usage) -> str:
    write = "writeInt8" if usage.pixels else "writeFloat"
    return f"""
// build.gradle: implementation("com.google.ai.edge.litert:litert:2.3.0")
import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel

val model = CompiledModel.create(context.assets, "{usage.file}", CompiledModel.Options(Accelerator.CPU))
val inputs = model.createInputBuffers()
val outputs = model.createOutputBuffers()
{usage.values(_kotlin_values)}inputs[0].{write}(image)  // {usage.image}
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
{usage.values(_swift_values)}// image, an array: {usage.image}
try interpreter.copy(image.withUnsafeBufferPointer {{ Data(buffer: $0) }}, toInputAt: 0)
try interpreter.invoke()
let scores = try interpreter.output(at: 0).data.withUnsafeBytes {{ Array($0.bindMemory(to: Float32.self)) }}
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
{usage.values(_cpp_values)}// image, a vector: {usage.image}
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
{usage.values(_kotlin_values)}// image, an array: {usage.image}
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
{usage.values(_swift_values)}// image, an array: {usage.image}
let data = NSMutableData(bytes: image, length: image.count * MemoryLayout<{element}>.size)
let input = try ORTValue(tensorData: data, elementType: .{kind}, shape: {list(usage.shape)})
let name = "{usage.output_name}"
let outputs = try session.run(withInputs: ["{usage.input_name}": input], outputNames: [name], runOptions: nil)
let scores = (try outputs[name]!.tensorData() as Data).withUnsafeBytes {{ Array($0.bindMemory(to: Float.self)) }}
"""


def _onnx_cpp(usage: Usage) -> str:
    number = "uint8_t" if usage.pixels else "float"
    shape = ", ".join(map(str, usage.shape))
    return f"""
#include <onnxruntime_cxx_api.h>

Ort::Env environment;
Ort::Session session(environment, ORT_TSTR("{usage.file}"), Ort::SessionOptions{{}});
{usage.values(_cpp_values)}// image, a vector: {usage.image}
std::array<int64_t, {len(usage.shape)}> shape{{{shape}}};
auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
auto input = Ort::Value::CreateTensor<{number}>(memory, image.data(), image.size(), shape.data(), shape.size());
const char* inputs[] = {{"{usage.input_name}"}};
const char* outputs[] = {{"{usage.output_name}"}};
auto results = session.Run(Ort::RunOptions{{}}, inputs, &input, 1, outputs, 1);
const float* scores = results[0].GetTensorData<float>();
"""


SNIPPETS = {
    "tflite": (_tflite_kotlin, _tflite_swift, tflite_python, _tflite_cpp),
    "onnx": (_onnx_kotlin, _onnx_swift, onnx_python, _onnx_cpp),
}
"""Format -> the writers of its snippets, in the order of the languages."""
