"""The .onnx files of a Graph."""
