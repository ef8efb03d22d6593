"""Keys of maps in the pool: short calls without a task, that may be repeated and are looked at again."""

from __future__ import annotations

import dataclasses

from lmflow.exceptions import NoReplyError, SessionNotArmedError, UnreachableError, XapiFailureError
from lmflow.tasks import changes
from lmflow.tasks.changes import Change
from lmflow.tasks.context import Context
from lmflow.xapi import changes as pool_changes
from lmflow.xapi import storage
from lmflow.xapi.failures import CURED_BY_LOGIN


@dataclasses.dataclass(frozen=True, slots=True)
class Key:
    """A key of a map of an object: ``Key("VDI", "sm_config", vdi_uuid, "base_mirror")``."""

    class_name: str
    field: str
    uuid: str
    key: str

    def is_there(self, context: Context) -> bool:
        """Look whether the map has it."""
        return storage.has_key(context.connection, self.class_name, self.field, self.uuid, self.key)


def ensure_dropped(context: Context, kind: str, key: Key, name: str) -> None:
    """Remove the key and record that as a change of that kind, of the object of that name.

    Raises XapiFailureError when the pool refuses it, NoReplyError when it did not answer and nothing has changed,
    UnreachableError when it may simply be tried again.
    """
    _ensure(context, kind, key, name, None)


def ensure_added(context: Context, kind: str, key: Key, name: str, value: str) -> None:
    """Add the key unless it is there, as ``ensure_dropped``."""
    _ensure(context, kind, key, name, value)


def _ensure(context: Context, kind: str, key: Key, name: str, value: str | None) -> None:
    if key.is_there(context) is (value is not None):
        change = changes.find_change(context, kind, key.uuid)
        if change is not None and change.step == "intended":
            changes.note(context, change, "done")
        return
    change = changes.note(context, Change(kind, key.uuid, "intended", "", name, {"key": key.key}))
    context.adopt_session()
    try:
        if value is None:
            pool_changes.drop_key(context.connection, **dataclasses.asdict(key))
        else:
            pool_changes.add_key(context.connection, **dataclasses.asdict(key), value=value)
    except SessionNotArmedError as error:
        raise UnreachableError(error.message) from error
    except NoReplyError:
        context.fence_off()  # what has not begun yet can then never begin
        if key.is_there(context) is (value is None):
            changes.note(context, change, "void")
            raise
    except XapiFailureError as failure:
        changes.note(context, change, "void")
        if failure.xapi_code not in CURED_BY_LOGIN:
            raise
        context.fence_off()
        raise UnreachableError(failure.message) from failure
    changes.note(context, change, "done")
