"""The exporter: a torch module -> Graph -> .tflite and .onnx files, each compared with PyTorch.

==================== =====================================================================================
`export`             the verb `hwnas.export`, and `convert`, which writes one unchecked file
`exporter`           the Exporter: makes the file of one format and precision, and compares it with PyTorch
`evaluation`         accuracy of the files on images; int8 layers that are repaired
`formats`            the list of formats; `precision`: the list of precisions
`target`             the network with the ends of its files: pixels (`pixel_input`) and softmax
`parity`             comparison with PyTorch, whole and block by block; `sensitivity`: layer by layer
`images`, `accuracy` the user's images, and the share of them that a file gets right
`model_input`        what any model file takes; `classification`: the class that it gives to each image
`exported`           the result: ExportedModel and ``export.json``
`graph/`             module -> Graph: tracing, `lowerings/`, folding
`model_file/`        parts that all formats share: the Format, constants, metadata, int8 layers
`tflite/`, `onnx/`   one package per format: ``format`` (its entry), ``writer``, the file, ``int8``
==================== =====================================================================================
"""
