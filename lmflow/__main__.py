"""``python -m lmflow`` is the command ``lmflow``."""

import sys

from lmflow.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
