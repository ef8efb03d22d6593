"""Who may call what: roles, the permissions they give, and the refusal of those who have none.

Roles and permissions are the same for every pool of a release; no database holds them. Source: rbac.ml,
xapi_role.ml, gen_rbac.ml; the 2,291 records of a real pool.
"""

from __future__ import annotations

import hashlib
import json
import uuid as uuids
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from lmflow.simulator.database.schema import Message, Schema
from lmflow.simulator.database.store import Store
from lmflow.simulator.database.values import Value
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.sessions import Sessions

ANY_TASK = "task.destroy/any"
"""The permission to cancel and destroy what others began."""
WITNESS = "http/post_services_xenops"
"""The permission to ask xenopsd on its own end point."""


@dataclass(frozen=True, slots=True)
class Role:
    """A role, or a permission: a role without others below it, named after a call in lower case."""

    ref: str
    name: str
    description: str
    is_internal: bool
    subroles: tuple[str, ...] = ()

    def record(self) -> dict[str, Value]:
        """Give the record as the API shows it."""
        return {
            "uuid": self.ref.removeprefix("OpaqueRef:"),
            "name_label": self.name,
            "name_description": self.description,
            "subroles": list(self.subroles),
            "is_internal": self.is_internal,
        }


def make_role_ref(name: str) -> str:
    """Make a role's reference, the same in every pool: it follows from the name in its own spelling."""
    digest = hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()
    return f"OpaqueRef:{uuids.UUID(digest)}"


def make_subject_identifier(name: str) -> str:
    """Make up the identifier that a directory gives to a user."""
    digest = hashlib.sha256(name.encode()).digest()
    return "S-1-5-21-" + "-".join(str(int.from_bytes(digest[i : i + 4], "big")) for i in (0, 4, 8)) + "-1101"


@dataclass(frozen=True, slots=True)
class Roles:
    """All roles: permissions in the order of the calls, then the roles that hold them."""

    by_ref: Mapping[str, Role]
    by_name: Mapping[str, Role]
    granted: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """role -> names of its permissions"""
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """call -> keys of its map that have permissions of their own; a star at the end stands for any ending"""

    @classmethod
    def load(cls, schema: Schema) -> Roles:
        """Make the roles of the pools that this schema describes."""
        return _load() if schema is Schema.load() else _make(schema)

    def roles_with(self, permission: str) -> list[Role]:
        """List the roles that hold a permission."""
        return [self.by_name[name] for name, held in self.granted.items() if permission in held]


def _permissions(schema: Schema, data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Go through all permissions in XAPI's order: name in its own spelling, code of the roles that have it."""
    for cls in schema.classes.values():
        for message in cls.messages.values():
            if message.roles:
                yield message.wire_name, message.roles
            for key, roles in data["keys"].get(message.wire_name, {}).items():
                yield f"{message.wire_name}/key:{key}", roles
    yield from data["other"].items()


def _make(schema: Schema) -> Roles:
    data = json.loads((resources.files("lmflow.simulator") / "data" / "roles.json").read_text("utf-8"))
    permissions: list[Role] = []
    granted: dict[str, list[Role]] = {about["name"]: [] for about in data["roles"]}
    for spelling, code in _permissions(schema, data):
        permission = Role(make_role_ref(spelling), spelling.lower(), "A basic permission", is_internal=True)
        permissions.append(permission)
        for role in data["sets"][code]:
            granted[role].append(permission)
    composite = [
        Role(
            make_role_ref(about["name"]),
            about["name"],
            about["description"],
            about["is_internal"],
            tuple(p.ref for p in granted[about["name"]]),
        )
        for about in data["roles"]
    ]
    every = [*permissions, *composite]
    return Roles(
        {role.ref: role for role in every},
        {role.name: role for role in every},
        {name: frozenset(p.name for p in held) for name, held in granted.items()},
        {call: tuple(keys) for call, keys in data["keys"].items()},
    )


@cache
def _load() -> Roles:
    return _make(Schema.load())


class Rbac:
    """Says whether a session may do something; root and the sessions of a single host may do everything."""

    def __init__(self, store: Store, sessions: Sessions) -> None:
        self._store = store
        self._sessions = sessions
        sessions.describe_user = self._describe_user

    @property
    def roles(self) -> Roles:
        """All roles; made when they are first asked for."""
        return Roles.load(self._store.schema)

    def is_permitted(self, session_ref: str, permission: str) -> bool:
        """Tell whether a valid session holds a permission, for example ``vm.pool_migrate``."""
        held = self._sessions.permissions.get(session_ref)
        return held is None or permission in held

    def check_permission(self, session_ref: str, permission: str) -> None:
        """Refuse a session without this permission: RBAC_PERMISSION_DENIED."""
        if not self.is_permitted(session_ref, permission):
            names = ", ".join(role.name for role in self.roles.roles_with(permission))
            text = f"No permission in user session. (Roles with this permission: {names})"
            raise ApiFailure("RBAC_PERMISSION_DENIED", permission, text)

    def check(self, session_ref: str, message: Message, args: list[Any]) -> None:
        """Refuse a call that this session may not make: RBAC_PERMISSION_DENIED."""
        if session_ref in self._sessions.permissions:
            self.check_permission(session_ref, self._permission(message, args))

    def _permission(self, message: Message, args: list[Any]) -> str:
        for key in self.roles.keys.get(message.wire_name, ()):
            given = str(args[1])
            if given == key or (key.endswith("*") and given.startswith(key[:-1])):
                return f"{message.wire_name}/key:{key}".lower()
        return message.wire_name.lower()

    # -- users

    def add_user(self, name: str, password: str, role: str) -> str:
        """Let somebody log in with this role; returns the reference of the subject. KeyError for an unknown role."""
        role_ref = self.roles.by_name[role].ref
        identifier = make_subject_identifier(name)
        with self._store.lock:
            self._sessions.users[name] = password
            for host_ref in self._store.refs("host"):
                self._store.update("host", host_ref, external_auth_type="AD", external_auth_service_name="simulated")
            config = {"subject-name": name, "subject-sid": identifier}
            fields = {"subject_identifier": identifier, "other_config": config, "roles": [role_ref]}
            for ref in self._store.find("subject", subject_identifier=identifier):
                self._store.update("subject", ref, **fields)
                return ref
            return self._store.create("subject", fields)

    def _describe_user(self, name: str) -> dict[str, Any]:
        """Say what the session of a user looks like; SESSION_AUTHENTICATION_FAILED for one who has no role."""
        identifier = make_subject_identifier(name)
        for ref in self._store.find("subject", subject_identifier=identifier):
            held = self.permissions_of(self._store.value("subject", ref, "roles"))
            if held:
                return {"subject": ref, "auth_user_sid": identifier, "rbac_permissions": held}
        raise ApiFailure("SESSION_AUTHENTICATION_FAILED", name, "The user is no subject of this pool, or has no role")

    def permissions_of(self, role_refs: Iterable[str]) -> list[str]:
        """List the names of the permissions that these roles hold, in their order, each once."""
        found: dict[str, None] = {}
        for ref in role_refs:
            role = self.roles.by_ref[ref]
            names = [self.roles.by_ref[sub].name for sub in role.subroles] or [role.name]
            found.update(dict.fromkeys(names))
        return list(found)

    # -- tasks

    def check_task(self, session_ref: str, task_ref: str, owner_ref: str) -> None:
        """Refuse to touch a task that another user's session began: RBAC_PERMISSION_DENIED. HANDLE_INVALID."""
        if not self._store.exists("task", task_ref):
            raise ApiFailure("HANDLE_INVALID", "task", task_ref)
        if session_ref in self._sessions.permissions:
            mine, owner = self._sessions.identify(session_ref), self._sessions.identify(owner_ref)
            if mine != owner:
                self.check_permission(session_ref, ANY_TASK)
