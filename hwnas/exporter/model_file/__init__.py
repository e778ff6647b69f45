"""The parts that the model files of all formats share: what a Format must give, constants, metadata, int8."""
