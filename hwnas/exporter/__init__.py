"""Exporter: a network -> Graph -> .tflite and .onnx, in several precisions."""
