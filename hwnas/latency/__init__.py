"""Latency: predictors with their error cards, and the budget made of them."""
