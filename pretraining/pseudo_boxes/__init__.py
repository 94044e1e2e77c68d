"""Pseudo-defect boxes from anomaly maps (AGSSP paper, arXiv 2509.18919, section 4.2)."""
