"""Density from structural latents, free of the prior."""
