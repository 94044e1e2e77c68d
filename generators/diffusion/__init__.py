"""Latent diffusion: open a base model, adapt it, make samples with it."""
