"""Inspection: the contents of a .tflite or .onnx file, whoever wrote it."""
