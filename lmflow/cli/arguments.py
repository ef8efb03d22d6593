"""Arguments that several commands have."""

from __future__ import annotations

import argparse
import datetime
import math
import re
import time

_UNITS = {"d": 86400.0, "h": 3600.0, "min": 60.0, "s": 1.0}


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


def add_way(parser: argparse.ArgumentParser) -> None:
    """Add what a migration is judged by, beside VM and destination."""
    parser.add_argument(
        "--network",
        type=parse_name,
        metavar="NETWORK",
        help="network that carries the migration: name, UUID or unique prefix; default: the management network",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="let the pool skip its checks of CPU, PV drivers and 'may not move'; what that overrides is listed",
    )
    parser.add_argument(
        "--eject-local-iso",
        action="store_true",
        help="take out a disc that cannot follow; it is put in again if the VM stays",
    )


def parse_name(text: str) -> str:
    """Return a name that was given; an argparse error for a blank one, as an unset variable of a script leaves it."""
    if not text.strip():
        raise argparse.ArgumentTypeError("the name is empty")
    return text


def parse_count(text: str) -> int:
    """Return a whole number, at least 1; an argparse error for anything else."""
    return _parse_whole(text, 1)


def parse_retries(text: str) -> int:
    """Return a whole number, at least 0; an argparse error for anything else."""
    return _parse_whole(text, 0)


def _parse_whole(text: str, least: int) -> int:
    count = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1
    if count < least:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least} on")
    return count


def parse_days(text: str) -> float:
    """Return a number of days, at least 0; an argparse error for anything else."""
    try:
        return parse_seconds(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days") from None


def parse_moment(text: str) -> float:
    """Return seconds since 1970 of a date, a time (local unless it has an offset), or an age such as 7d, 12h, 30min.

    An argparse error for anything else.
    """
    age = re.fullmatch(r"(\d{1,9}(?:\.\d{1,6})?)(d|h|min|s)", text, re.ASCII)
    if age:
        return time.time() - float(age[1]) * _UNITS[age[2]]
    try:
        return datetime.datetime.fromisoformat(text).astimezone().timestamp()
    except (ValueError, OverflowError, OSError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no moment: 2026-11-23, 2026-11-23T14:30, 7d, 12h, 30min"
        ) from None


def parse_seconds(text: str) -> float:
    """Return a number of seconds, at least 0; an argparse error for anything else."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds) or seconds < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return seconds
