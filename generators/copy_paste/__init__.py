"""Real defects blended onto clean plates: the baseline that diffusion has to beat."""
