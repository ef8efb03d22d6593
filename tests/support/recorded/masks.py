"""What a comparison with the recordings leaves out, place by place, each with its reason."""

from __future__ import annotations

import dataclasses
import fnmatch
import re

from tests.support.recorded.binding import Difference
from tests.support.recorded.trace import Item


@dataclasses.dataclass(frozen=True)
class Mask:
    """Where (topic, call or label, path; shell patterns) a difference of two values is none, and why.

    A field that is missing on one side, or of another kind, is never covered.
    """

    topic: str
    call: str
    path: str
    reason: str

    def covers(self, item: Item, difference: Difference) -> bool:
        if not difference.is_of_values:
            return False
        where = fnmatch.fnmatch(item.method, self.call) or fnmatch.fnmatch(item.label, self.call)
        # A star in a path stands for a reference there.
        pattern = re.escape(self.path).replace(r"\*\*", ".*").replace(r"\*", "[^/]*")
        return item.topic.startswith(self.topic) and where and re.fullmatch(pattern, difference.path) is not None


MASKS: tuple[Mask, ...] = (
    Mask("", "*", "**/progress", "how far an operation was at the instant of the question"),
    Mask("", "*", "**/backtrace", "where in xapi's own source an error arose"),
    Mask("07", "follow ref result", "**/resident_on", "which of the hosts that see a disk copies it is chance"),
    Mask("09", "event.from", "/Value/events/*/id", "counts the changes of that pool's whole life"),
    Mask("09", "event.inject", "/Value", "counts the changes of that pool's whole life"),
    Mask("09", "event.next", "**/timestamp", "a moment of the recording"),
    Mask("09", "event.next", "/ErrorDescription/1", "a digest of the session's reference"),
    Mask("09", "event.from", "/Value/valid_ref_counts/session", "counts the sessions of the recorder and of xapi"),
    Mask("21", "*Task.list*", "**/cancel_points_seen", "how often xenopsd's own code looked for a cancel"),
    Mask("21", "*Task.list*", "**/state/1", "how far it was at the instant of the question"),
    Mask("21", "*Task.list*", "**/duration", "how long the recorder's simulated copy took, to the microsecond"),
    Mask("21", "*Task.list*", "**/ctime", "a moment of the recording"),
    Mask("21", "*VM.stat*", "**/last_start_time", "a moment of the recording"),
    Mask("21", "*VM.stat*", "**/domids", "counts the domains of that host's whole life"),
    Mask("21", "JSON-RPC*", "**/domid", "counts the domains of that host's whole life"),
    Mask("09", "event.from", "/Value/events/certificate/snapshot/fingerprint*", "follows from a key drawn at random"),
    Mask("09", "event.from", "**/snapshot_metadata", "a VM's whole record as text, with moments"),
    Mask("09", "event.from", "/Value/events/vif/snapshot/MAC", "drawn at random for each interface"),
    Mask("09", "event.*", "**/domid", "counts the domains of that host's whole life"),
    Mask("", "*", "**/token", "counts the changes of that pool's whole life"),
    Mask("", "*", "**/agent_start_time", "a moment of the recording"),
    Mask("", "*", "**/boot_time", "a moment of the recording"),
    Mask("", "*", "**/generation_id", "drawn at random for each VM"),
    Mask("", "*", "**/memory_actual", "the memory of guests was simulated below that xapi, as 0"),
    Mask("", "VIF.*", "**/MAC", "drawn at random for each interface"),
    Mask("", "*", "**/last_booted_record", "notes of xapi and xenopsd for themselves, with a moment"),
    Mask("03", "Certificate.get_all_records", "**/fingerprint*", "follows from a key drawn at random"),
)
"""The whole table; the documentation prints it."""


USED: set[Mask] = set()
"""What has covered a difference in this process."""


def left_over(item: Item, differences: list[Difference]) -> list[Difference]:
    """Give the differences that no mask covers."""
    return [difference for difference in differences if not _is_masked(item, difference)]


def _is_masked(item: Item, difference: Difference) -> bool:
    covering = {mask for mask in MASKS if mask.covers(item, difference)}
    USED.update(covering)
    return bool(covering)
