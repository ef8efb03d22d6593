"""The one way in which a call of the pool is refused."""

from __future__ import annotations


class ApiFailure(Exception):  # noqa: N818 - XAPI's own word: Status: Failure
    """``Status: Failure`` with a code and its parameters."""

    def __init__(self, code: str, *params: str) -> None:
        super().__init__(code, *params)
        self.code = code
        self.params = tuple(str(param) for param in params)

    @property
    def description(self) -> list[str]:
        """The list that goes over the wire: code first."""
        return [self.code, *self.params]


class TaskCancelled(Exception):  # noqa: N818 - an outcome, not an error
    """The operation noticed that its task was cancelled; the task ends as ``cancelled``."""


class ConnectionDrop(Exception):  # noqa: N818 - an order to the server
    """Close the connection without a reply."""
