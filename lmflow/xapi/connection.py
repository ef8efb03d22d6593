"""A login to one pool: reads are repeated at most once, changing calls never."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from lmflow.models import PoolProfile


class Connection:
    """A login to one pool through the official SDK with our own transport and session; serialised by a lock."""

    profile: PoolProfile
    session_uuid: str
    pool_uuid: str
    address: str
    armed: bool

    @classmethod
    def open(cls, profile: PoolProfile, password: Callable[[], str], *, originator: str = "lmflow") -> Connection:
        """Log in to the pool's coordinator."""
        raise NotImplementedError

    def read(self, method: str, *args: Any) -> Any:
        """Make a reading call."""
        raise NotImplementedError

    def arm(self) -> None:
        """Allow changing calls in the present session."""
        raise NotImplementedError

    def start(self, method: str, *args: Any, attempt_id: str) -> str:
        """Send one changing call and return its task's reference."""
        raise NotImplementedError

    def end_session(self, session_uuid: str) -> bool:
        """End another session of the pool."""
        raise NotImplementedError

    def close(self) -> None:
        """Log out, best effort."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
