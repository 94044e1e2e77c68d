"""Backbone pretraining guided by anomaly maps: AGBP (arXiv 2509.18919, sections 4.1.2 and 5.3)."""
