"""Who is logged in; sessions live in the coordinator's memory only."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import Any

from lmflow.simulator.clock import Clock
from lmflow.simulator.database.store import Store
from lmflow.simulator.database.values import NULL
from lmflow.simulator.failures import ApiFailure

BAD_PASSWORD_SECONDS = 2.1
IDLE_SECONDS = 86_400.0
REFRESH_SECONDS = 600.0
PER_USER = 500
"""How many sessions of one user stay, of root those of one originator. Source: db_gc_util.ml."""
ANONYMOUS = 400
"""How many sessions of root without an originator stay."""

LOCAL_CALLS = frozenset(
    {
        "system.listMethods",
        "session.slave_local_login_with_password",
        "session.local_logout",
        "pool.emergency_transition_to_master",
        "pool.emergency_reset_master",
        "host.emergency_ha_disable",
        "host.emergency_disable_tls_verification",
        "host.emergency_reenable_tls_verification",
        "host.emergency_reset_server_certificate",
        "host.emergency_clear_mandatory_guidance",
        "host.is_in_emergency_mode",
        "host.local_management_reconfigure",
        "host.shutdown_agent",
    }
)
"""What a host does by itself, without its coordinator."""


class Sessions:
    """Logs in and out, and says whether a session may be used on a host.

    ``issued`` are the references ever given out, those of single hosts too: what may stand nowhere.
    """

    def __init__(self, store: Store, clock: Clock, username: str, password: str) -> None:
        self._store = store
        self._clock = clock
        self._username = username
        self._password = password
        self._active: dict[str, float] = {}
        self._local: dict[str, str] = {}
        self.issued: dict[str, None] = {}
        self.users: dict[str, str] = {}
        """Whose passwords are known beside root's: name -> password."""
        self.permissions: dict[str, frozenset[str]] = {}
        """What a session may do, for those that may not do everything."""
        self.describe_user: Callable[[str], dict[str, Any]] | None = None
        """Says what a user's session looks like; set by the part that knows the roles."""
        self.followed: dict[str, str] = {}
        """Whom a host takes for the coordinator, where that is not the coordinator."""

    @property
    def coordinator_ref(self) -> str:
        """The reference of the coordinator; NULL while there is no pool object."""
        pools = self._store.refs("pool")
        return str(self._store.value("pool", pools[0], "master")) if pools else NULL

    def coordinator_address(self, host_ref: str = "") -> str:
        """Give the bare address of the coordinator, or of whom this host takes for it."""
        return str(self._store.value("host", self.followed.get(host_ref, self.coordinator_ref), "address"))

    def _check_password(self, user: str, password: str) -> None:
        if user == self._username and password == self._password:
            return
        if user in self.users and password == self.users[user]:
            return
        threading.Event().wait(self._clock.real(BAD_PASSWORD_SECONDS))
        known = user == self._username or user in self.users
        text = "Authentication failure" if known else "User not known to the underlying authentication module"
        raise ApiFailure("SESSION_AUTHENTICATION_FAILED", user, text)

    def login(self, host_ref: str, user: str, password: str, originator: str) -> str:
        """Log in on the coordinator; HOST_IS_SLAVE elsewhere, even with a bad password. Blocks when refused."""
        if host_ref != self.coordinator_ref:
            raise ApiFailure("HOST_IS_SLAVE", self.coordinator_address(host_ref))
        self._check_password(user, password)
        with self._store.lock:
            fields = {
                "this_host": host_ref,
                "last_active": self._clock.stamp(),
                "validation_time": self._clock.stamp(),
                "auth_user_name": user,
                "originator": originator,
                **self._describe(user),
            }
            ref = self._store.create("session", fields)
            if not fields["is_local_superuser"]:
                self.permissions[ref] = frozenset(fields["rbac_permissions"])
            self.issued[ref] = None
            self._active[ref] = self._clock.now()
            return ref

    def _describe(self, user: str) -> dict[str, Any]:
        if user == self._username or self.describe_user is None:
            return {"is_local_superuser": True}
        return {"is_local_superuser": False, **self.describe_user(user)}

    def identify(self, ref: str) -> str:
        """Give the identifier of whose session this is; "" for root and for a session that is gone."""
        with self._store.lock:
            return str(self._store.value("session", ref, "auth_user_sid")) if self.is_valid(ref) else ""

    def change_password(self, old_password: str, new_password: str) -> None:
        """Change root's password; sessions stay. CHANGE_PASSWORD_REJECTED."""
        if old_password != self._password:
            raise ApiFailure("CHANGE_PASSWORD_REJECTED", "Authentication failure")
        if not new_password:
            raise ApiFailure("CHANGE_PASSWORD_REJECTED", "The password is empty")
        self._password = new_password

    def subject_identifiers(self) -> list[str]:
        """List whose sessions there are, root left out, each once."""
        with self._store.lock:
            found = [self._store.value("session", ref, "auth_user_sid") for ref in self._store.refs("session")]
            return [sid for sid in dict.fromkeys(found) if sid]

    def logout_identifier(self, identifier: str) -> None:
        """End every session of a user; root's are never ended so."""
        with self._store.lock:
            for ref in self._store.find("session", auth_user_sid=identifier, is_local_superuser=False):
                self.logout(ref)

    def copy(self, ref: str) -> str:
        """Open another session for whom this one belongs to; SESSION_INVALID when it is over."""
        with self._store.lock:
            if not self.is_valid(ref):
                raise ApiFailure("SESSION_INVALID", ref)
            fields = {name: value for name, value in self._store.record("session", ref).items() if name != "uuid"}
            fields |= {"last_active": self._clock.stamp(), "validation_time": self._clock.stamp(), "tasks": []}
            made = self._store.create("session", fields)
            if ref in self.permissions:
                self.permissions[made] = self.permissions[ref]
            self.issued[made] = None
            self._active[made] = self._clock.now()
            return made

    def login_local(self, host_ref: str, user: str, password: str) -> str:
        """Log in on one host only; such a session may read there."""
        self._check_password(user, password)
        ref = self._store.make_ref()
        with self._store.lock:
            self.issued[ref] = None
        self._local[ref] = host_ref
        return ref

    def was_issued(self, ref: str) -> bool:
        """Tell whether this is, or was, the reference of any session."""
        return ref in self.issued

    def logout(self, ref: str) -> None:
        """End a session, whoever asks; SESSION_INVALID when it is over already. Its work goes on."""
        with self._store.lock:
            self._active.pop(ref, None)
            self.permissions.pop(ref, None)
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
            raise ApiFailure("HOST_IS_SLAVE", self.coordinator_address(host_ref))
        self._refresh(ref)

    def check_may_change(self, host_ref: str, ref: str, call: str) -> None:
        """Refuse a change that the session of a single member asks for: HOST_IS_SLAVE. Chosen; nobody saw it."""
        if self.is_local(ref) and host_ref != self.coordinator_ref and call not in LOCAL_CALLS:
            raise ApiFailure("HOST_IS_SLAVE", self.coordinator_address(host_ref))

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
                    self.use_at(ref, now)

    def use_at(self, ref: str, moment: float) -> None:
        """Count a session as last used at a moment of the pool's clock."""
        with self._store.lock:
            self._active[ref] = moment
            self._store.update("session", ref, last_active=self._clock.stamp(moment))

    def let_idle(self, seconds: float) -> None:
        """Count every session as last used so many seconds of the pool's clock earlier than it was."""
        with self._store.lock:
            for ref in self._store.refs("session"):
                self.use_at(ref, self._active.get(ref, 0.0) - seconds)

    def collect(self, busy: Collection[str] = ()) -> None:
        """End sessions that were idle too long or are too many of their kind; those that still work stay."""
        limit = self._clock.now() - IDLE_SECONDS
        kinds: dict[str, list[str]] = {}
        with self._store.lock:
            idle = [ref for ref in self._store.refs("session") if ref not in busy]
            for ref in sorted(idle, key=lambda r: self._active.get(r, 0.0), reverse=True):
                same = kinds.setdefault(self._kind_of(ref), [])
                same.append(ref)
                many = len(same) > (PER_USER if self._kind_of(ref) else ANONYMOUS)
                if many or self._active.get(ref, 0.0) < limit:
                    self.logout(ref)

    def _kind_of(self, ref: str) -> str:
        """Name the sessions that count together; "" for those of root without an originator."""
        name, originator = (self._store.value("session", ref, field) for field in ("auth_user_name", "originator"))
        if name != self._username:
            return f"user {name}"
        return f"originator {originator}" if originator else ""

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
