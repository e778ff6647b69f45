"""Latency tables: measured latencies, and published ones."""
