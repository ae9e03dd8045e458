"""CryoDRGN's files, read and written."""
