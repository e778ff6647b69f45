"""Evaluation: methods against random networks and simple rules, over seeds, images and budgets."""
