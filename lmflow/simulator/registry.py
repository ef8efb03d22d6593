"""Where operations, long-lived parts and control routes announce themselves; it knows none of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Operation:
    """A call that somebody wrote by hand.

    ``effect``: the call changes the pool. The operation says when with ``ctx.took_effect()``; if it returns
    without having said so, the effect counts as taken then; if it fails before, as not taken.
    ``own_effect``: only ``ctx.took_effect()`` counts.
    """

    name: str
    function: Callable[..., Any]
    effect: bool = False
    own_effect: bool = False


OPERATIONS: dict[str, Operation] = {}
PARTS: dict[str, Callable[[Any], Any]] = {}
ROUTES: dict[tuple[str, str], Callable[[Any, Any], Any]] = {}


def operation(name: str, *, effect: bool = False, own_effect: bool = False) -> Callable[[Function], Function]:
    """Register ``def f(ctx, *args)`` as what the pool does on this call; args come without the session."""

    def register(function: Function) -> Function:
        OPERATIONS[name] = Operation(name, function, effect, own_effect)
        return function

    return register


def part(name: str) -> Callable[[Function], Function]:
    """Register a class or function that makes a long-lived part from the kernel; it becomes ``kernel.parts[name]``.

    Parts are made in the order of their registration. A part may have ``on_start()``,
    ``on_stop()``, and ``dump()`` with ``load(data)`` for what it keeps beside the database.
    """

    def register(factory: Function) -> Function:
        PARTS[name] = factory
        return factory

    return register


def control_route(method: str, path: str) -> Callable[[Function], Function]:
    """Register ``def f(kernel, body) -> JSON-able`` as the answer of the control channel to METHOD path.

    ``body`` is the parsed JSON of the request, ``{}`` when there was none. A ValueError or KeyError becomes HTTP 400.
    """

    def register(function: Function) -> Function:
        ROUTES[method, path] = function
        return function

    return register
