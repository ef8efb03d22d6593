"""Roles, which no database holds, and the subjects that have them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lmflow.simulator.context import Context
from lmflow.simulator.database.values import Value
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.rbac import Role, Roles
from lmflow.simulator.registry import operation

_COMPOSITE = "subroles<>[]"
_BASIC = "subroles=[]"


def _roles(ctx: Context) -> Roles:
    return ctx.pool.rbac.roles


def _role(ctx: Context, ref: str) -> Role:
    role = _roles(ctx).by_ref.get(ref)
    if role is None:
        raise ApiFailure("HANDLE_INVALID", "role", ref)
    return role


def _records(roles: Iterable[Role]) -> dict[str, Value]:
    return {role.ref: role.record() for role in roles}


@operation("role.get_all")
def get_all(ctx: Context) -> list[str]:
    """List all roles and permissions."""
    return list(_roles(ctx).by_ref)


@operation("role.get_all_records")
def get_all_records(ctx: Context) -> dict[str, Value]:
    """Give all roles and permissions."""
    return _records(_roles(ctx).by_ref.values())


@operation("role.get_all_records_where")
def get_all_records_where(ctx: Context, expr: str) -> dict[str, Value]:
    """Give roles, permissions or both; XAPI knows two expressions here, and takes any other for "all"."""
    roles = _roles(ctx).by_ref.values()
    if expr in {_COMPOSITE, _BASIC}:
        return _records(role for role in roles if bool(role.subroles) == (expr == _COMPOSITE))
    return _records(roles)


@operation("role.get_all_where")
def get_all_where(ctx: Context, expr: str) -> list[str]:
    """List what get_all_records_where gives."""
    return list(get_all_records_where(ctx, expr))


@operation("role.get_by_uuid")
def get_by_uuid(ctx: Context, uuid: str) -> str:
    """Find a role by its UUID, which is its reference without the prefix."""
    ref = f"OpaqueRef:{uuid}"
    if ref not in _roles(ctx).by_ref:
        raise ApiFailure("UUID_INVALID", "role", uuid)
    return ref


@operation("role.get_by_name_label")
def get_by_name_label(ctx: Context, label: str) -> list[str]:
    """Find a role by its name; permissions are in lower case."""
    role = _roles(ctx).by_name.get(label)
    return [role.ref] if role is not None else []


@operation("role.get_record")
def get_record(ctx: Context, ref: str) -> dict[str, Value]:
    """Give a role."""
    return _role(ctx, ref).record()


def _register_getter(name: str) -> None:
    @operation(f"role.get_{name}")
    def get(ctx: Context, ref: str) -> Value:
        return _role(ctx, ref).record()[name]


for _name in ("uuid", "name_label", "name_description", "subroles", "is_internal"):
    _register_getter(_name)


@operation("role.get_permissions")
def get_permissions(ctx: Context, ref: str) -> list[str]:
    """List the permissions of a role; a permission holds itself."""
    role = _role(ctx, ref)
    return list(role.subroles) or [ref]


@operation("role.get_permissions_name_label")
def get_permissions_name_label(ctx: Context, ref: str) -> list[str]:
    """List the names of the permissions of a role."""
    return ctx.pool.rbac.permissions_of([_role(ctx, ref).ref])


@operation("role.get_by_permission")
def get_by_permission(ctx: Context, ref: str) -> list[str]:
    """List the roles that hold a permission; none for what is no permission."""
    role = _roles(ctx).by_ref.get(ref)
    return [found.ref for found in _roles(ctx).roles_with(role.name)] if role is not None else []


@operation("role.get_by_permission_name_label")
def get_by_permission_name_label(ctx: Context, label: str) -> list[str]:
    """List the roles that hold a permission of this name."""
    return [found.ref for found in _roles(ctx).roles_with(label)]


# -- subjects


def _is_restricted(ctx: Context) -> bool:
    return bool(ctx.store.value("pool", ctx.pool.pool_ref, "restrictions").get("restrict_rbac") == "true")


def _check_licensed(ctx: Context) -> None:
    if _is_restricted(ctx):
        raise ApiFailure("LICENCE_RESTRICTION", "RBAC")


@operation("subject.create", effect=True)
def subject_create(ctx: Context, args: dict[str, Any]) -> str:
    """Let somebody of the directory in, without a role; with the first of all where the licence knows no roles."""
    with ctx.store.lock:
        if ctx.store.find("subject", subject_identifier=args["subject_identifier"]):
            raise ApiFailure("SUBJECT_ALREADY_EXISTS")
        roles = [_roles(ctx).by_name["pool-admin"].ref] if _is_restricted(ctx) else []
        return ctx.store.create("subject", {**args, "roles": roles})


@operation("subject.destroy", effect=True)
def subject_destroy(ctx: Context, ref: str) -> None:
    """Let somebody in no more; sessions that are open go on."""
    ctx.store.destroy("subject", ref)


@operation("subject.add_to_roles", effect=True)
def subject_add_to_roles(ctx: Context, ref: str, role_ref: str) -> None:
    """Give a role; it holds from the next login on."""
    _check_licensed(ctx)
    with ctx.store.lock:
        roles = ctx.store.value("subject", ref, "roles")
        if role_ref in roles:
            raise ApiFailure("ROLE_ALREADY_EXISTS")
        if role_ref not in _roles(ctx).by_ref:
            raise ApiFailure("ROLE_NOT_FOUND")
        ctx.store.update("subject", ref, roles=[*roles, role_ref])


@operation("subject.remove_from_roles", effect=True)
def subject_remove_from_roles(ctx: Context, ref: str, role_ref: str) -> None:
    """Take a role away; sessions that are open keep it."""
    _check_licensed(ctx)
    with ctx.store.lock:
        roles = ctx.store.value("subject", ref, "roles")
        if role_ref not in roles:
            raise ApiFailure("ROLE_NOT_FOUND")
        ctx.store.update("subject", ref, roles=[role for role in roles if role != role_ref])


@operation("subject.get_permissions_name_label")
def subject_get_permissions_name_label(ctx: Context, ref: str) -> list[str]:
    """List the names of what a subject may do."""
    return ctx.pool.rbac.permissions_of(ctx.store.value("subject", ref, "roles"))
