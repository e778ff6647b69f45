"""The .tflite files of a Graph."""
