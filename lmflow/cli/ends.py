"""SIGTERM and SIGHUP end a command in order, so that its session does not stay in the pool."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

from lmflow.cli.exits import Terminated


@contextlib.contextmanager
def heeded_ends() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the command in order, as ctrl-C does, while no run is driven that heeds them itself.

    By default they would end it on the spot, and leave its session in the pool.
    """

    def end(number: int, frame: FrameType | None) -> NoReturn:
        raise Terminated

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    heard = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    for number in heard:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, before[number])
