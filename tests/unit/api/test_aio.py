"""``AsyncClient`` offers what ``Client`` offers, under the same names and with the same arguments."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lmflow.api import AsyncClient, Client, ConfigurationError, UsageError


def offered(kind: type) -> dict[str, Callable[..., Any]]:
    return {name: method for name, method in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")}


def test_it_has_the_methods_of_the_other_one() -> None:
    asynchronous, blocking = offered(AsyncClient), offered(Client)
    assert asynchronous.keys() == blocking.keys()
    differ = [
        name
        for name, method in blocking.items()
        if inspect.signature(method).parameters.keys() != inspect.signature(asynchronous[name]).parameters.keys()
    ]
    assert not differ


def make(path: Path, **changes: Any) -> AsyncClient:
    return AsyncClient(**{"database_url": f"sqlite:///{path}", "profiles": {}, "password": str, **changes})


def test_outside_of_its_context_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="async with"):
        asyncio.run(make(tmp_path / "runs.db").runs())
    assert not list(tmp_path.iterdir())


def test_a_database_that_cannot_be_opened_is_said_at_the_door() -> None:
    async def enter() -> None:
        async with make(Path("/dev/null/runs.db")):
            pytest.fail("entered")

    with pytest.raises(ConfigurationError):
        asyncio.run(enter())


def test_errors_come_as_they_are(tmp_path: Path) -> None:
    async def ask() -> None:
        async with make(tmp_path / "runs.db") as client:
            assert await client.runs() == ()
            for asked in (client.run("none"), client.wait("none"), client.migrate("v"), client.resume("none")):
                with pytest.raises(UsageError):
                    await asked
            with pytest.raises(UsageError):
                _ = [event async for event in client.follow("none")]

    asyncio.run(ask())
