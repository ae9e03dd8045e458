"""All of it, from particles to one report."""
