"""States, populations, paths and selections."""
