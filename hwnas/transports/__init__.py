"""Transports: how a device is reached. Adding one is one module with a `Transport` and one line in the registry."""
