"""The version of cryosway, read by the build and by job folders."""

__version__ = "0.1.0"
