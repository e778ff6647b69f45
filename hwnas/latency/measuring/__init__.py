"""Measuring a space: its blocks and whole networks into a latency table."""
