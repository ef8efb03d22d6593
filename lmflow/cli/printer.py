"""Lines to stderr that can never break what they talk about, and streams that are always there."""

from __future__ import annotations

import io
import os
import re
import sys
from typing import TextIO

_SECRET = re.compile(r"OpaqueRef:[0-9a-fA-F-]+|session_id=[^\s&\"']+|(?<=://)[^\s/@]*:[^\s/]*(?=@)")


def mask(text: str) -> str:
    """Return the text without references, session parameters and the user and password of URLs.

    A traceback of a defect may hold one; so may the URL of a database.
    """
    return _SECRET.sub("<masked>", text)


def escape(text: str, keep: str = "\n") -> str:
    """Return the text with what a terminal would obey or not show as Python writes it: ``\\x1b``, ``\\u202e``."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


def ensure_streams() -> None:
    """Open ``/dev/null`` in place of closed standard streams.

    With descriptor 2 closed, the next file opened (a database) would become "stderr" of every C library.
    """
    for descriptor, name, flags in ((0, "stdin", os.O_RDONLY), (1, "stdout", os.O_WRONLY), (2, "stderr", os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, flags)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, "r" if flags == os.O_RDONLY else "w", closefd=False))
    # An encoding that lacks a sign costs the sign, not the answer.
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def find_fault(stream: TextIO) -> OSError | None:
    """Return why what was written to a stream cannot reach its reader; None when it did."""
    try:
        stream.flush()
    except OSError as error:
        return error
    except ValueError:  # it was closed: by one who had flushed it
        return None
    return None


def drop_output() -> None:
    """Point streams whose reader has gone away to ``/dev/null``: Python flushes them at its end, and would exit 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except ValueError:  # a pager has closed it
            continue
        except OSError:
            sink = os.open(os.devnull, os.O_WRONLY)
            os.dup2(sink, stream.fileno())
            os.close(sink)


class Printer:
    """Chatter for people, one line a call. A reader that has gone away costs the line, never the run."""

    def __init__(self, stream: TextIO | None, *, quiet: bool = False) -> None:
        self._stream = stream
        self._quiet = quiet

    @property
    def stream(self) -> TextIO | None:
        """The stream written to; None once nobody reads."""
        return self._stream

    @property
    def is_quiet(self) -> bool:
        """Whether chatter is unwanted, or has nobody to read it."""
        return self._quiet or self._stream is None

    @property
    def is_terminal(self) -> bool:
        """Tell whether a person is looking; a closed stream is nobody."""
        try:
            return self._stream is not None and self._stream.isatty()
        except (OSError, ValueError):
            return False

    def say(self, text: str) -> None:
        """Write chatter, unless ``--quiet``."""
        if not self._quiet:
            self.insist(text)

    def insist(self, text: str) -> None:
        """Write what has to be read even with ``--quiet``: errors."""
        if self._stream is None:
            return
        text = escape(text)
        try:
            self._stream.write(text + "\n")
            self._stream.flush()
        except UnicodeEncodeError:
            self._write_ascii(text)
        except (OSError, ValueError):
            self._stream = None

    def _write_ascii(self, text: str) -> None:
        try:
            if self._stream is not None:
                self._stream.write(text.encode("ascii", "replace").decode() + "\n")
                self._stream.flush()
        except (OSError, ValueError):
            self._stream = None
