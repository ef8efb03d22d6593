"""Ctrl-C, SIGTERM, a closed terminal: let go of the run cleanly, or have it cancelled; a further one ends at once."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from lmflow.tasks.steering import Steering

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def steered_by_signals(steering: Steering, *, cancel_by: str = "") -> Iterator[None]:
    """Let the first signal detach from the run and the next one raise KeyboardInterrupt.

    With ``cancel_by``, who then asks for it, there is one more step at the beginning: a first signal asks for a cancel.
    A signal that is ignored, as SIGHUP is under nohup, stays ignored. Only the main thread can install handlers;
    elsewhere, as in an orchestrator's thread, this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if steering.stop.is_set():
            raise KeyboardInterrupt
        if cancel_by and not asked.is_set():
            asked.set()
            steering.cancel(cancel_by, signal.Signals(number).name)
        else:
            steering.detach()

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    heard = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    for number in heard:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, before[number])
