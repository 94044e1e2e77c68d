"""KeAD: few-shot anomaly maps without training (arXiv 2509.18919, section 4.1.1)."""
