"""Detectors of three families behind one interface: AGDP (arXiv 2509.18919, section 5.3)."""
