"""Adapting a base model to defect classes: new tokens and low-rank weights."""
