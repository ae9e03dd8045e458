"""Run as ``python -m cryosway.cli``."""

import sys

from cryosway.cli._main import main

sys.exit(main())
