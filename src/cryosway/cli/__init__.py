"""The command line: parse, call one public function, print where the result is."""

from cryosway.cli._main import main

__all__ = ["main"]
