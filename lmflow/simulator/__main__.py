"""``python -m lmflow.simulator``: a simulated pool as a process."""

from __future__ import annotations

import sys

from lmflow.simulator.serve import make_parser, run

if __name__ == "__main__":
    sys.exit(run(make_parser().parse_args()))
