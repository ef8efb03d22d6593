"""Modules that others import at once and hardly use, loaded when they are first used: a command has to start soon."""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any

# oslo.config's types import both, and they take longer than all the rest of it. No option of ours is of those types.
_SELDOM_USED = ("netaddr", "rfc3986")


class _Later(types.ModuleType):
    """Stands for a module until one of its names is looked up.

    The standard library's LazyLoader would not do: the import statement itself looks up a name.
    """

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


def delay_imports() -> None:
    """Let an import of these modules cost nothing until they are used. Only for the process of a command.

    A module that is there already is left alone.
    """
    for name in _SELDOM_USED:
        sys.modules.setdefault(name, _Later(name))
