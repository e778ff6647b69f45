"""Latency: tables of what was measured, a predictor with its error card, and the budget made of it."""

from hwnas.latency.budget import Budget
from hwnas.latency.card import ErrorCard
from hwnas.latency.fitting import fit
from hwnas.latency.predictor import AdditivePredictor, Prediction
from hwnas.latency.table import Latency, LatencyTable

__all__ = ["AdditivePredictor", "Budget", "ErrorCard", "Latency", "LatencyTable", "Prediction", "fit"]
