"""Accepted samples as datasets that other tools, and the catalog, read."""
