"""Campaigns: models measured several times over, with a journal, and corrected for drift."""
