"""Runners: what times models on a device, wherever it is."""
