"""Latency tables: what was measured or published."""
