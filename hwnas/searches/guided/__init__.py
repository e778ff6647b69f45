"""Searches that are guided by the evaluations so far, at the level of codes: one index per decision."""
