"""Devices: how to reach, check and lock what is measured on."""
