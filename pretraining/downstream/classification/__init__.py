"""Finetuning a classifier on few labelled pictures."""
