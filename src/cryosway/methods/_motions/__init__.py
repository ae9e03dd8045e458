"""Atomic models along the landscape, and how they move."""
