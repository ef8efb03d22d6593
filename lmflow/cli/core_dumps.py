"""No core dump: the memory of a command holds the password of a pool and the reference of its session."""

from __future__ import annotations

import contextlib
import ctypes
import resource

# linux/prctl.h
_PR_SET_DUMPABLE = 4


def ensure_no_core_dumps() -> None:
    """Let this process leave no core behind, whatever ends it, and no other process of its user read its memory.

    The limit holds for files, and is inherited by what this process starts. A handler that the kernel pipes cores to
    (systemd-coredump) does not heed it, but a process that is not dumpable is not handed to it either; that ends with
    an exec. Root can still attach a debugger.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, AttributeError):  # not Linux
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
