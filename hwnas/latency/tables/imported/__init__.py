"""Published latency tables: one module per format of their files."""
