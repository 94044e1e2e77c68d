"""Are anomaly maps fit to learn from: measured before any training starts."""
