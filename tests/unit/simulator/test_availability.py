"""Every call of the model is answered in one of five ways, and what is left out says why."""

from collections import Counter

from lmflow.simulator.database.availability import LEFT_OUT, Way, find_reason, list_calls
from lmflow.simulator.database.schema import Schema
from lmflow.simulator.pool import REGISTERED

CALLS = list(list_calls(Schema.load()))


def test_every_call_is_answered_in_one_known_way() -> None:
    ways = Counter(way for _, way in CALLS)
    assert REGISTERED  # what registers the operations is imported
    assert sum(ways.values()) == 2258
    assert ways[Way.DERIVED] > 1400
    assert ways[Way.REMOVED] == 93


def test_what_is_left_out_has_a_reason() -> None:
    assert [m.wire_name for m, way in CALLS if way is Way.NOT_SIMULATED and not find_reason(m)] == []


def test_every_reason_is_needed() -> None:
    given = {find_reason(message) for message, way in CALLS if way is Way.NOT_SIMULATED}
    assert {reason for _, reason in LEFT_OUT} <= given
