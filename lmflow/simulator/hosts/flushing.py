"""What of the pool's database is on the coordinator's disk, and what dies with its toolstack.

A real pool was seen to lose what was written 17 s before its coordinator was killed, and to keep what stood there when
``pool.sync_database`` or a SIGTERM came. Source: the database is written to disk every 300 s.

Assumed, because nobody watched it: the 300 s are counted from the start of the pool, whether or not anything changed;
a world that was loaded, and what the control channel edits, counts as flushed; a member that becomes coordinator
starts from what was flushed last. Messages are files of their own and are never lost. Operations, what they allow and
reservations live in memory: they stay as they are here, until the coordinator that starts next empties them.
"""

from __future__ import annotations

from collections.abc import Mapping

from lmflow.simulator.database.store import VOLATILE
from lmflow.simulator.database.values import Value
from lmflow.simulator.kernel import Kernel
from lmflow.simulator.registry import part
from lmflow.simulator.rules import allowed

FLUSH_SECONDS = 300.0
_NEVER_LOST = VOLATILE | {"message"}
_IN_MEMORY = frozenset({"current_operations", "allowed_operations", "scheduled_to_be_resident_on"})

Image = Mapping[str, Value] | None


@part("flushing")
class Flushing:
    """Keeps, of every object that changed since the last flush, what it was then; None for one that did not exist."""

    def __init__(self, pool: Kernel) -> None:
        self._pool = pool
        self._images: dict[tuple[str, str], Image] = {}
        self._generation = 0
        self._next_flush = 0.0

    def on_start(self) -> None:
        """Count what is there as flushed, and keep account from now on."""
        self.flush()
        self._pool.store.before_change = self._note

    def flush(self) -> None:
        """Write everything to disk."""
        with self._pool.store.lock:
            self._images.clear()
            self._generation = self._pool.store.generation
            self._next_flush = self._pool.clock.now() + FLUSH_SECONDS

    def dump(self) -> dict[str, Value]:
        """Give nothing: a state that was saved counts as flushed."""
        return {}

    def load(self, _data: Mapping[str, Value]) -> None:
        """Count a state that was loaded as flushed."""
        self.flush()

    def _flush_if_due(self) -> None:
        late = self._pool.clock.now() - self._next_flush
        if late >= 0:
            self.flush()
            self._next_flush -= late % FLUSH_SECONDS

    def _note(self, cls: str, ref: str, image: Image) -> None:
        if cls in _NEVER_LOST:
            return
        self._flush_if_due()
        self._images.setdefault((cls, ref), image)

    def lose(self) -> None:
        """Go back to what is on disk, as a coordinator does that was killed; the generation goes back with it."""
        store = self._pool.store
        with store.lock:
            if store.before_change is None:
                return
            self._flush_if_due()
            images, self._images = self._images, {}
            store.before_change = None
            for (cls, ref), image in images.items():
                self._restore(cls, ref, image)
            for cls, ref in images:
                if cls == "VM" and store.exists(cls, ref):
                    allowed.update_vm(store, ref)
            store.go_back(self._generation)
            store.before_change = self._note

    def _restore(self, cls: str, ref: str, image: Image) -> None:
        store = self._pool.store
        if image is None:
            if store.exists(cls, ref):
                store.destroy(cls, ref)
        elif store.exists(cls, ref):
            store.update(cls, ref, **{name: value for name, value in image.items() if name not in _IN_MEMORY})
        else:
            store.create(cls, image, ref)
