"""Transports: how a device is reached. `base.py` says what one does; a new one says how its shell is come by."""
