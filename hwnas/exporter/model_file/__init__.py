"""The parts that the model files of all formats share: the contract of a Format, constants, metadata, int8."""
