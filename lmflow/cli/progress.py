"""What happens, shown while it happens (thin for now)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lmflow.cli.door import Place
from lmflow.cli.printer import Printer
from lmflow.models import Notice

if TYPE_CHECKING:
    from lmflow.api import Client


@contextlib.contextmanager
def follow(printer: Printer, place: Place) -> Iterator[Client]:
    """Open a client whose notices are shown as lines."""

    def show(notice: Notice) -> None:
        printer.say(notice.text)

    with place.open_client(show) as client:
        yield client
