"""The micro latent-diffusion pipeline: trained here on procedural steel, in diffusers' format."""
