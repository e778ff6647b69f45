"""Transports: the connections to devices. `base.py` has the protocol, `registry.py` lists the kinds."""
