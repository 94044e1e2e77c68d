"""Masks and a ship-or-stop decision from one encoder (METHODS.md section 5)."""
