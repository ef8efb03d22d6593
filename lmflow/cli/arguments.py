"""Arguments that several commands have."""

from __future__ import annotations

import argparse
import math


def add_run(parser: argparse.ArgumentParser) -> None:
    """Add the run that the command is about."""
    parser.add_argument("run", metavar="RUN", help="UUID, unique prefix, request id, or the VM of an open run")


def add_timeout(parser: argparse.ArgumentParser, what: str) -> None:
    """Add ``--timeout``; None without it."""
    help_text = f"how long to wait {what} (exit 8); default: without limit"
    parser.add_argument("--timeout", type=parse_seconds, default=None, metavar="SECONDS", help=help_text)


def add_on_interrupt(parser: argparse.ArgumentParser) -> None:
    """Add the choice of what the first ctrl-C, SIGTERM or SIGHUP does; '' leaves it to the configuration."""
    parser.add_argument(
        "--on-interrupt",
        choices=("detach", "cancel"),
        default="",
        help="what a first ctrl-C, SIGTERM or closed terminal does: let go of the run, or have it cancelled",
    )


def parse_name(text: str) -> str:
    """Return a name that was given; an argparse error for a blank one, as an unset variable of a script leaves it."""
    if not text.strip():
        raise argparse.ArgumentTypeError("the name is empty")
    return text


def parse_count(text: str) -> int:
    """Return a whole number, at least 1; an argparse error for anything else."""
    count = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return count


def parse_seconds(text: str) -> float:
    """Return a number of seconds, at least 0; an argparse error for anything else."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds) or seconds < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return seconds
