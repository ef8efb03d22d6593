"""Calls about messages: what the pool tells whoever asks. XAPI keeps them as files beside its database."""

from __future__ import annotations

from lmflow.simulator.context import Context
from lmflow.simulator.database.values import DateTime, Value
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.registry import operation

_CLASSES = {"Host": "host", "Pool": "pool"}
"""Classes that messages spell otherwise than the API does."""
Records = dict[str, dict[str, Value]]


def _select(ctx: Context, since: str, **equals: str) -> Records:
    """Give the messages that are younger than ``since``, newest first."""
    with ctx.store.lock:
        refs = ctx.store.find("message", **equals)
        found = {ref: ctx.store.record("message", ref) for ref in reversed(refs)}
    return {ref: record for ref, record in found.items() if record["timestamp"] > since}


@operation("message.create", effect=True)
def create(ctx: Context, name: str, priority: int, *about: str) -> str:
    """Leave a message about an object of the pool (class, UUID, text); UUID_INVALID when there is no such object."""
    cls, obj_uuid, body = about
    if not ctx.store.find(_CLASSES.get(cls, cls), uuid=obj_uuid):
        raise ApiFailure("UUID_INVALID", cls, obj_uuid)
    fields = {"name": name, "priority": priority, "cls": cls, "obj_uuid": obj_uuid, "body": body}
    return ctx.store.create("message", {**fields, "timestamp": ctx.clock.stamp()})


@operation("message.destroy", effect=True)
def destroy(ctx: Context, message_ref: str) -> None:
    """Remove a message; HANDLE_INVALID when it is gone."""
    ctx.store.destroy("message", message_ref)


@operation("message.destroy_many", effect=True)
def destroy_many(ctx: Context, message_refs: list[str]) -> None:
    """Remove messages; HANDLE_INVALID at the first that is gone."""
    for ref in message_refs:
        ctx.store.destroy("message", ref)


@operation("message.destroy_all", effect=True)
def destroy_all(ctx: Context, filters: dict[str, str]) -> None:
    """Remove the messages that all filters take: ``before``, ``after`` (moments) and ``priority``.

    INVALID_VALUE for any other filter (assumed).
    """
    unknown = [name for name in filters if name not in {"before", "after", "priority"}]
    if unknown:
        raise ApiFailure("INVALID_VALUE", "filter", unknown[0])
    with ctx.store.lock:
        for ref in ctx.store.refs("message"):
            record = ctx.store.record("message", ref)
            early = record["timestamp"] < filters.get("before", "9")
            late = record["timestamp"] > filters.get("after", "")
            if early and late and str(record["priority"]) == filters.get("priority", str(record["priority"])):
                ctx.store.destroy("message", ref)


@operation("message.get")
def get(ctx: Context, cls: str, obj_uuid: str, since: DateTime) -> Records:
    """Give the messages about one object since a moment; none for an object that nobody knows."""
    return _select(ctx, since, cls=cls, obj_uuid=obj_uuid)


@operation("message.get_since")
def get_since(ctx: Context, since: DateTime) -> Records:
    """Give the messages since a moment."""
    return _select(ctx, since)
