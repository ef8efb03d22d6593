"""The calls of sessions, tasks and events; every other call is an accessor or an operation of the pool."""

from __future__ import annotations

from typing import Any

from lmflow.simulator.context import Context
from lmflow.simulator.database.values import NULL
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.hosts import forwarding
from lmflow.simulator.registry import operation


@operation("session.login_with_password", effect=True)
def login_with_password(ctx: Context, user: str, password: str, version: str, originator: str) -> str:
    """Log in on the coordinator."""
    return ctx.pool.sessions.login(ctx.host_ref, user, password, originator)


@operation("session.slave_local_login_with_password", effect=True)
def slave_local_login_with_password(ctx: Context, user: str, password: str) -> str:
    """Log in on this host only."""
    return ctx.pool.sessions.login_local(ctx.host_ref, user, password)


@operation("session.logout", effect=True)
def logout(ctx: Context) -> None:
    """End the session that is given, whoever opened it."""
    ctx.pool.sessions.logout(ctx.session_ref)


@operation("session.local_logout", effect=True)
def local_logout(ctx: Context) -> None:
    """End a session of this host."""
    ctx.pool.sessions.logout_local(ctx.session_ref)


@operation("session.change_password", effect=True)
def change_password(ctx: Context, old_password: str, new_password: str) -> None:
    """Change root's password."""
    ctx.pool.sessions.change_password(old_password, new_password)


@operation("session.get_all_subject_identifiers")
def get_all_subject_identifiers(ctx: Context) -> list[str]:
    """List the users of a directory who have sessions."""
    return ctx.pool.sessions.subject_identifiers()


@operation("session.logout_subject_identifier", effect=True)
def logout_subject_identifier(ctx: Context, identifier: str) -> None:
    """End every session of a user."""
    ctx.pool.sessions.logout_identifier(identifier)


@operation("task.create", effect=True)
def task_create(ctx: Context, label: str, description: str) -> str:
    """Create a record that no operation stands behind."""
    return ctx.pool.tasks.create_by_client(label, description, ctx.pool.coordinator_ref, ctx.session_ref)


@operation("task.cancel", effect=True)
def task_cancel(ctx: Context, task_ref: str) -> None:
    """Ask for the end of a task; the call itself has a name there, and no record of its own."""
    ctx.pool.rbac.check_task(ctx.session_ref, task_ref, ctx.pool.tasks.owner_of(task_ref))
    ctx.pool.tasks.cancel(task_ref, ctx.dummy_task or f"DummyRef:|{ctx.store.make_uuid()}|task.cancel")


@operation("task.destroy", effect=True)
def task_destroy(ctx: Context, task_ref: str) -> None:
    """Remove a finished record, mark a pending one."""
    ctx.pool.rbac.check_task(ctx.session_ref, task_ref, ctx.pool.tasks.owner_of(task_ref))
    ctx.pool.tasks.destroy(task_ref)


@operation("event.from")
def event_from(ctx: Context, classes: list[str], token: str, timeout_seconds: float) -> dict[str, Any]:
    """Wait for changes."""
    return ctx.pool.events.from_token(ctx.session_ref, classes, token, timeout_seconds)


@operation("event.inject")
def event_inject(ctx: Context, cls: str, ref: str) -> str:
    """Make an event of an unchanged object; the token is older than that event."""
    if cls not in ctx.pool.schema.classes:
        raise ApiFailure("HANDLE_INVALID", cls, ref)
    return f"{ctx.store.touch(cls, ref):020d},{0:020d}"


@operation("event.get_current_id")
def event_get_current_id(ctx: Context) -> int:
    """Give the number that the next event of event.next will have."""
    return ctx.pool.events.queue.current_id


@operation("event.register")
def event_register(ctx: Context, classes: list[str]) -> None:
    """Let event.next tell this session of these classes too."""
    ctx.pool.events.queue.register(ctx.session_ref, classes)


@operation("event.unregister")
def event_unregister(ctx: Context, classes: list[str]) -> None:
    """Let event.next tell this session of these classes no more."""
    ctx.pool.events.queue.unregister(ctx.session_ref, classes)


@operation("event.next")
def event_next(ctx: Context) -> list[dict[str, Any]]:
    """Wait for what happened since this session asked last."""
    return ctx.pool.events.queue.wait_for_next(ctx.session_ref)


@operation("host.get_servertime")
def host_get_servertime(ctx: Context, host_ref: str) -> Any:
    """Give the pool's time; HOST_OFFLINE for a reference that is no host."""
    if host_ref == NULL or not ctx.store.exists("host", host_ref):
        raise ApiFailure("HOST_OFFLINE", host_ref)
    forwarding.reach(ctx, host_ref)
    return ctx.clock.stamp()
