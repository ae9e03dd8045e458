"""Particles as they come: inspected, checked, prepared."""
