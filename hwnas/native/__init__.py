"""hwbench: our C program that times .tflite models, and the bundles that carry it to a device."""
