"""Specs: what one block is, as frozen data."""
