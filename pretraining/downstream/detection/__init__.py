"""Detectors finetuned on few labelled pictures."""
