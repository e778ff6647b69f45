"""Devices: their files, the connection to them, their locks and preconditions, and this machine."""
