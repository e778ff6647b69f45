"""Campaigns: models measured several times over, with a journal, and with what drift did to them."""
