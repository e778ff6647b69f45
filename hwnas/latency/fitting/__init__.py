"""Fitting: from a latency table to a predictor."""
