"""stub, being written."""

from __future__ import annotations


class Server:
    """Listeners of all hosts."""

    def take_down(self, host_ref: str) -> None:
        """Close a host's listener and its connections."""

    def bring_up(self, host_ref: str) -> None:
        """Open a host's listener again."""
