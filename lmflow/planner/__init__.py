"""Where to? Pure decisions over verdicts; nothing is read and nothing is moved here."""

from lmflow.planner.choice import choose

__all__ = ["choose"]
