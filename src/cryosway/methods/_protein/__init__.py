"""Sequences: the language model, folding, an index of predictions."""
