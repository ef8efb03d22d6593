"""Scripted hosts, connections to them, and everything they logged."""

import logging
from collections.abc import Callable, Iterator

import pytest

from lmflow.xapi.connection import Connection
from tests.support.scripted_host import PASSWORD, Act, ScriptedHost


@pytest.fixture
def make_host() -> Iterator[Callable[..., ScriptedHost]]:
    """Start scripted hosts: ``make_host({"VM.get_uuid": [act]})``; they are stopped after the test."""
    made: list[ScriptedHost] = []

    def make(script: dict[str, list[Act]] | None = None, **options: object) -> ScriptedHost:
        made.append(ScriptedHost(script, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for host in made:
        host.stop()


@pytest.fixture
def connect() -> Iterator[Callable[..., Connection]]:
    """Log in to scripted hosts; ``read_seconds`` is the read time-out. Closed after the test."""
    made: list[Connection] = []

    def log_in(host: ScriptedHost, *addresses: str, read_seconds: float = 20.0) -> Connection:
        made.append(Connection.open(host.profile(*addresses, read_seconds=read_seconds), lambda: PASSWORD))
        return made[-1]

    yield log_in
    for connection in made:
        connection.close()


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Everything that is logged, down to DEBUG."""
    caplog.set_level(logging.DEBUG)
    return caplog
