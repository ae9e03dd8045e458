"""The structural prior: atomic models that deform to fit every particle."""
