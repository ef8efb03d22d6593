"""Who is logged in; sessions live in the coordinator's memory only."""

from __future__ import annotations

import threading

from lmflow.simulator.clock import Clock
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.store import Store
from lmflow.simulator.values import NULL

BAD_PASSWORD_SECONDS = 2.1
IDLE_SECONDS = 86_400.0
REFRESH_SECONDS = 600.0
PER_ORIGINATOR = 500


class Sessions:
    """Logs in and out, and says whether a session may be used on a host.

    ``issued`` are the references ever given out: what tests look for where no secret may stand.
    """

    def __init__(self, store: Store, clock: Clock, username: str, password: str) -> None:
        self._store = store
        self._clock = clock
        self._username = username
        self._password = password
        self._active: dict[str, float] = {}
        self._local: dict[str, str] = {}
        self.issued: list[str] = []

    @property
    def coordinator_ref(self) -> str:
        """The reference of the coordinator; NULL while there is no pool object."""
        pools = self._store.refs("pool")
        return str(self._store.value("pool", pools[0], "master")) if pools else NULL

    def coordinator_address(self) -> str:
        """The bare address of the coordinator."""
        return str(self._store.value("host", self.coordinator_ref, "address"))

    def _check_password(self, user: str, password: str) -> None:
        if user == self._username and password == self._password:
            return
        threading.Event().wait(self._clock.real(BAD_PASSWORD_SECONDS))
        known = user == self._username
        text = "Authentication failure" if known else "User not known to the underlying authentication module"
        raise ApiFailure("SESSION_AUTHENTICATION_FAILED", user, text)

    def login(self, host_ref: str, user: str, password: str, originator: str) -> str:
        """Log in on the coordinator; HOST_IS_SLAVE elsewhere, even with a bad password. Blocks when refused."""
        if host_ref != self.coordinator_ref:
            raise ApiFailure("HOST_IS_SLAVE", self.coordinator_address())
        self._check_password(user, password)
        with self._store.lock:
            self._drop_surplus(originator)
            fields = {
                "this_host": host_ref,
                "last_active": self._clock.stamp(),
                "validation_time": self._clock.stamp(),
                "is_local_superuser": True,
                "auth_user_name": user,
                "originator": originator,
            }
            ref = self._store.create("session", fields)
            self.issued.append(ref)
            self._active[ref] = self._clock.now()
            return ref

    def _drop_surplus(self, originator: str) -> None:
        same = [r for r in self._store.refs("session") if self._store.value("session", r, "originator") == originator]
        for ref in sorted(same, key=lambda r: self._active.get(r, 0.0))[: max(0, len(same) - PER_ORIGINATOR + 1)]:
            self.logout(ref)

    def login_local(self, host_ref: str, user: str, password: str) -> str:
        """Log in on one host only; such a session may read there."""
        self._check_password(user, password)
        ref = self._store.make_ref()
        self._local[ref] = host_ref
        return ref

    def logout(self, ref: str) -> None:
        """End a session, whoever asks; SESSION_INVALID when it is over already. Its work goes on."""
        with self._store.lock:
            self._active.pop(ref, None)
            if not self._store.exists("session", ref):
                raise ApiFailure("SESSION_INVALID", ref)
            self._store.destroy("session", ref)

    def logout_local(self, ref: str) -> None:
        """End a session of one host."""
        if self._local.pop(ref, None) is None:
            raise ApiFailure("SESSION_INVALID", ref)

    def check(self, host_ref: str, ref: str) -> None:
        """Refuse a session that may not be used on this host: SESSION_INVALID, HOST_IS_SLAVE."""
        if self._local.get(ref) == host_ref:
            return
        if not self.is_valid(ref):
            raise ApiFailure("SESSION_INVALID", ref)
        if host_ref != self.coordinator_ref:
            raise ApiFailure("HOST_IS_SLAVE", self.coordinator_address())
        self._refresh(ref)

    def is_valid(self, ref: str) -> bool:
        """Tell whether this is a session of the pool (not one of a single host)."""
        return self._store.exists("session", ref)

    def is_local(self, ref: str) -> bool:
        """Tell whether this is a session of a single host."""
        return ref in self._local

    def _refresh(self, ref: str) -> None:
        now = self._clock.now()
        if now - self._active.get(ref, 0.0) > REFRESH_SECONDS:
            with self._store.lock:
                if self._store.exists("session", ref):
                    self._active[ref] = now
                    self._store.update("session", ref, last_active=self._clock.stamp(now))

    def collect(self) -> None:
        """End sessions that were idle too long."""
        limit = self._clock.now() - IDLE_SECONDS
        with self._store.lock:
            for ref in self._store.refs("session"):
                if self._active.get(ref, 0.0) < limit:
                    self.logout(ref)

    def lose_all(self) -> None:
        """Forget every session of the pool, as the end of the coordinator's toolstack does."""
        with self._store.lock:
            for ref in self._store.refs("session"):
                self._store.destroy("session", ref)
            self._active.clear()
            self._store.forget_deletions("session")

    def lose_local(self, host_ref: str) -> None:
        """Forget the sessions of one host."""
        self._local = {ref: host for ref, host in self._local.items() if host != host_ref}
