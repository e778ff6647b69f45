"""Searches that are guided by what was evaluated so far, at the level of codes: one index per decision."""
