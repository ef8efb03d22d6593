"""Plays a recorded topic against a simulated pool and holds each reply against the recorded one."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any

from lmflow.simulator.kernel import Options
from lmflow.simulator.pool import SimulatedPool
from lmflow.simulator.worlds import world
from tests.support.recorded import lab, masks, trace
from tests.support.recorded.binding import TOKEN, Binding, Difference
from tests.support.recorded.reading import Leaf, Tree, read_body, read_value
from tests.support.recorded.trace import Item
from tests.support.recorded.watch import Watch
from tests.support.replays import steady
from tests.support.wire import WireClient

PASSWORD = "xenroot"
NULL = "OpaqueRef:NULL"
_CONTENT_LENGTH = "content-length"
RULES = {
    "header content-length": "whether it is there, not how much: it follows from the body",
    "every date": "whether it is set; the order of states is in the histories and timelines",
    "every set": "without its order, which xapi does not promise; errors, events and histories in order",
    "numbers that count objects, in the second world": "by as many more as that world has more objects",
    "events of one class and operation that follow each other": "without their order, which follows from references",
    "item without a reply": "no reply for as long as the recorder waited",
}
"""Rules of the comparison that hold everywhere, and why."""
_EVENT_TOKEN = re.compile(r"\d{20},\d{20}")
_PATIENCE_SECONDS = 0.3
"""How long, in real seconds, no reply is waited for at least, where the recorder got none."""


@dataclasses.dataclass
class Answer:
    """What the simulated pool said to an item, and where that differs from the recording."""

    item: Item
    tree: Tree
    differences: list[Difference]


class Player:
    """One simulated pool that plays one topic; ``call`` is for what the recorder did without writing it down."""

    def __init__(self, pool: SimulatedPool, *, is_other: bool) -> None:
        self.pool = pool
        self.is_other = is_other
        names = {"h1": "h1", **(lab.OTHER_NAMES if is_other else {})}
        hosts = {h: str(pool.store.value("host", pool.find_host(names.get(h, h)), "address")) for h in ("h1", "h2")}
        self.addresses = hosts
        self.binding = Binding({**names, "10.99.0.1": hosts["h1"], "10.99.0.2": hosts["h2"]})
        self.client = WireClient(pool)
        self.client.login(originator="lab")
        self.answers: dict[int, Answer] = {}
        self.watch = Watch(pool)
        self.tokens: dict[str, str] = {}
        self._threads: dict[int, threading.Thread] = {}
        self._bind_world()
        self._leave_import_task()

    def _leave_import_task(self) -> None:
        """Leave in a control domain what the recorded host's joining of its pool left: the name of a task long gone."""
        store = self.pool.store
        domain = store.value("host", self.host("h2"), "control_domain")
        config = {**store.value("VM", domain, "other_config"), "import_task": store.make_ref()}
        store.update("VM", domain, other_config=config)

    # -- what stands for what

    def name(self, recorded: str) -> str:
        """Give this world's name of something."""
        return self.binding.translate(recorded)

    def ref(self, cls: str, name: str) -> str:
        """Give our reference of an object by its recorded name; the first where there are several."""
        return self.pool.store.find(cls, name_label=self.name(name))[0]

    def vm(self, name: str) -> str:
        return self.ref("VM", name)

    def host(self, name: str) -> str:
        return self.ref("host", name)

    def bind_record(self, cls: str, recorded_ref: str, ours: str) -> None:
        """Pair two objects, their UUIDs, and what they refer to as far as that is unambiguous."""
        if recorded_ref == NULL or ours == NULL or recorded_ref in self.binding.ours or ours in self.binding.recorded:
            return
        self.binding.bind(recorded_ref, ours)
        known = lab.records().get(recorded_ref)
        if known is None or not self.pool.store.exists(cls, ours):
            return
        theirs, mine = known[1], self.pool.store.record(cls, ours)
        if theirs.get("uuid") and theirs["uuid"] not in self.binding.ours:
            self.binding.bind(theirs["uuid"], mine["uuid"])
        fields = self.pool.store.schema.classes[cls].fields
        for name, old in theirs.items():
            kind = fields[name].type if name in fields else ""
            if kind.endswith(" ref") and isinstance(old, str):
                self.bind_record(kind.removesuffix(" ref"), old, mine[name])
            elif kind.endswith(" ref set"):
                self._bind_set(kind.removesuffix(" ref set"), old, mine[name])

    def _bind_set(self, cls: str, theirs: list[str], mine: list[str]) -> None:
        if cls not in {"VBD", "VIF", "VDI", "PIF", "PBD", "console", "host_cpu", "Certificate"}:
            return
        for old in theirs:
            known = lab.records().get(old)
            if known is None:
                continue
            same = [new for new in mine if self._key(cls, known[1]) == self._key(cls, self.pool.store.record(cls, new))]
            if len(same) == 1:
                self.bind_record(cls, old, same[0])

    def _key(self, cls: str, record: Mapping[str, Any]) -> tuple[str, ...]:
        """What tells the objects of one owner apart, in this world's words."""
        names = {"VBD": ["userdevice"], "VIF": ["device"], "PIF": ["device"], "VDI": ["name_label"]}
        names |= {"PBD": ["host", "SR"], "console": ["protocol"], "host_cpu": ["number"], "Certificate": ["type"]}
        return tuple(self.binding.translate(str(record[name])) for name in names[cls])

    def _bind_world(self) -> None:
        store = self.pool.store
        for ref, (cls, record) in lab.records().items():
            if cls in {"host", "network", "SR", "pool", "SM"}:
                for ours in store.find(cls, name_label=self.name(record["name_label"]))[:1]:
                    self.bind_record(cls, ref, ours)
        for ref, (cls, record) in lab.records().items():
            if cls == "VM":
                for ours in store.find(cls, name_label=self.name(record["name_label"]))[:1]:
                    self.bind_record(cls, ref, ours)
        if self.is_other:
            bound = set(self.binding.recorded)
            view = store.view()
            self.binding.extra |= {ref for records in view.values() for ref in records if ref not in bound}
            self.binding.count_extra = self._count_extra

    def _count_extra(self, cls: str) -> int:
        classes = self.pool.store.schema.classes.values() if cls != "user" else ()  # each pool has one
        found = next((known for known in classes if known.name.lower() == cls.lower()), None)
        return sum(ref in self.binding.extra for ref in self.pool.store.refs(found.name)) if found else 0

    # -- playing

    def call(self, method: str, *params: Any) -> Any:
        """Make a call that was not recorded; fails the test when it is refused."""
        return self.client.call(method, *params)

    def play(self, item: Item) -> Answer:
        """Send an item's request and compare the reply."""
        answer = self._ask(item)
        self.answers[item.index] = answer
        return answer

    def play_beside(self, item: Item) -> None:
        """Send an item's request from a thread of its own, as the recorder did while others were under way.

        One that was sent before its turn, because its reply came so late, is not sent again.
        """
        if item.index in self._threads:
            return
        thread = threading.Thread(target=self.play, args=(item,), daemon=True)
        self._threads[item.index] = thread
        thread.start()

    def wait_for(self, *indexes: int, seconds: float = 60.0) -> None:
        """Wait, in real seconds, until items that play beside have their replies; all of them by default."""
        for index in indexes or tuple(self._threads):
            self._threads[index].join(seconds)
            assert index in self.answers, f"item {index} got no reply"

    def _ask(self, item: Item) -> Answer:
        if "exception" in item.response:
            return self._ask_in_vain(item)
        request = item.request
        body = self._own_body(item)
        connection = http.client.HTTPConnection(self.addresses[request.get("host", "h1")], self.client.port, timeout=60)
        with contextlib.closing(connection):
            headers = {**request.get("headers", {})}
            path = self.binding.translate(self._own_session(request["path"]))
            connection.request(request["method"], path, body.encode() if body else None, headers)
            reply = connection.getresponse()
            text = reply.read().decode("utf-8", "replace")
        seen = read_body(text)
        self.binding.is_masked = lambda difference: not masks.left_over(item, [difference])
        differences = self._compare_envelope(item, reply)
        differences += self.binding.compare(read_body(item.response.get("body") or ""), seen)
        self._pair_tokens(item, seen)
        return Answer(item, seen, masks.left_over(item, differences))

    def _ask_in_vain(self, item: Item) -> Answer:
        """Send a request that got no reply for as long as the recorder waited."""
        patience = max(_PATIENCE_SECONDS, self.pool.clock.real(item.seconds))
        address = (self.addresses[item.request.get("host", "h1")], self.client.port)
        connection = http.client.HTTPConnection(*address, timeout=patience)
        with contextlib.closing(connection):
            connection.request("POST", item.request["path"], self._own_body(item).encode())
            try:
                reply = connection.getresponse()
            except TimeoutError:
                return Answer(item, {}, [])
            return Answer(item, {}, [Difference("http/status", "no reply", f"{reply.status} {reply.reason}")])

    def _own_body(self, item: Item) -> str:
        text = _EVENT_TOKEN.sub(lambda found: self.tokens.get(found.group(), found.group()), item.body)
        return self.binding.translate(self._own_session(text)).replace(PASSWORD, self.pool.options.password)

    def _pair_tokens(self, item: Item, seen: Tree) -> None:
        """Remember which of our tokens of events stands for the recorded one."""
        theirs, mine = item.data.get("parsed"), seen
        for name in ("Value", "token"):
            theirs = theirs.get(name) if isinstance(theirs, dict) else theirs
            mine = mine.get(name, mine) if isinstance(mine, dict) else mine
        if isinstance(theirs, str) and _EVENT_TOKEN.fullmatch(theirs) and isinstance(mine, Leaf):
            self.tokens[theirs] = mine.text

    def _own_session(self, text: str) -> str:
        """Let the first reference of a request that nothing is known of stand for our session."""
        found = TOKEN.search(text)
        if found and found.group().startswith("OpaqueRef:") and not self.binding.is_known(found.group()):
            start = text[: found.start()]
            if start.count("<param>") == 1 or "session_id=" in start or '"params": [' in start[-20:]:
                return text.replace(found.group(), self.client.session)
        return text

    def _compare_envelope(self, item: Item, reply: http.client.HTTPResponse) -> list[Difference]:
        recorded = item.response
        found = []
        if recorded["status"] != reply.status or recorded["reason"] != reply.reason:
            found.append(
                Difference(
                    "http/status", f"{recorded['status']} {recorded['reason']}", f"{reply.status} {reply.reason}"
                )
            )
        theirs = [name if name == _CONTENT_LENGTH else f"{name}: {value}" for name, value in recorded["headers"]]
        mine = [name if name == _CONTENT_LENGTH else f"{name}: {value}" for name, value in reply.getheaders()]
        if theirs != mine:
            found.append(Difference("http/headers", str(theirs), str(mine)))
        return found

    # -- notes

    def compare_note(self, item: Item, seen: Any, path: str = "note", recorded: Any = None) -> Answer:
        """Hold what was watched against a note (or a part of it, ``recorded``)."""
        tree = read_value(seen)
        theirs = read_value(item.note if recorded is None else recorded)
        self.binding.is_masked = lambda difference: not masks.left_over(item, [difference])
        answer = Answer(item, tree, masks.left_over(item, self.binding.compare(theirs, tree, path)))
        self.answers[item.index] = answer
        return answer

    def wait_for_task(self, ref: str, seconds: float = 60.0) -> dict[str, Any]:
        """Wait, in real seconds, for the end of a task and give its record."""
        store = self.pool.store
        with store.changed:
            ended = store.changed.wait_for(
                lambda: not store.exists("task", ref) or store.value("task", ref, "status") != "pending", seconds
            )
        assert ended, f"task {ref} did not end"
        return dict(self.call("task.get_record", ref))


Act = Callable[[Player], None]


@dataclasses.dataclass(frozen=True)
class Topic:
    """How a topic is played.

    ``before``: what was done, unrecorded, before the item of that index. ``beside``: items whose calls were under
    way while the next ones were made. ``join``: before this item, wait for those. ``notes``: what is done for a note;
    it calls ``player.compare_note``. ``left_out``: items that are not played, each with its reason. ``is_steady``: the
    clock stands still while the machine does, so that histories can be held against their times. ``given``: items whose
    recorded state, or a part of it, was put into the database from the recording itself, and what; they show how it is
    told, not how it came about.
    """

    name: str
    world: Mapping[str, Any]
    time_scale: float = 100.0
    before: Mapping[int, Act] = dataclasses.field(default_factory=dict)
    beside: frozenset[int] = frozenset()
    join: Mapping[int, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    notes: Mapping[int, Callable[[Player, Item], object]] = dataclasses.field(default_factory=dict)
    left_out: Mapping[int, str] = dataclasses.field(default_factory=dict)
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    is_steady: bool = False
    given: Mapping[int, str] = dataclasses.field(default_factory=dict)

    @property
    def items(self) -> tuple[Item, ...]:
        """The items that are played, in their order."""
        return tuple(item for item in trace.load(self.name) if item.index not in self.left_out)

    def play(self, *, is_other: bool) -> dict[int, Answer]:
        """Play the whole topic in the recorded world or in the second one; gives the answers by index."""
        description = lab.make_other(self.world) if is_other else dict(self.world)
        options = Options(**{"time_scale": self.time_scale, **self.options})
        made = SimulatedPool(options, world=world.load(description))
        if self.is_steady:
            steady(made)
        with made as pool:
            player = Player(pool, is_other=is_other)
            for item in self.items:
                self._play_item(player, item)
            player.wait_for()
            return player.answers

    def _play_item(self, player: Player, item: Item) -> None:
        for index in self.join.get(item.index, ()):
            player.wait_for(index)
        if item.index in self.before:
            self.before[item.index](player)
        if item.is_note:
            self.notes[item.index](player, item)
        elif item.index in self.beside:
            player.play_beside(item)
        else:
            player.play(item)
