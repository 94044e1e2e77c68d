"""Masks of synthetic defects: where they are asked for, and what really changed."""
