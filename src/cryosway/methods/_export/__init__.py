"""Particles and maps for other programs."""
