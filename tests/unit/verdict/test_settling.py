"""When a pool counts as settled."""

from __future__ import annotations

import dataclasses

from lmflow.models import Attempt, Host, Waits
from lmflow.verdict import is_overdue, is_settled, look

WAITS = Waits(settle_seconds=20, quiet_seconds=5, pool_seconds=60)
A = Host("a", "xcp-a", "10.0.0.1", enabled=True, live=True, agent_start_time="1.")
B = Host("b", "xcp-b", "10.0.0.2", enabled=True, live=True, agent_start_time="1.")
ATTEMPT = Attempt("at", "run", 1, "accepted", 0.0, "session", starts={"a": "1.", "b": "1."})


def test_it_is_watched_for_its_time_even_when_nothing_seems_to_happen() -> None:
    looks = look(None, (A, B), attempt=ATTEMPT, now=100.0)
    looks = look(looks, (A, B), attempt=ATTEMPT, now=119.0)
    assert not is_settled(looks, now=119.0, waits=WAITS)
    assert is_settled(looks, now=120.0, waits=WAITS)


def test_a_change_makes_it_wait_for_quiet_again() -> None:
    looks = look(None, (A, B), attempt=ATTEMPT, now=100.0)
    restarted = dataclasses.replace(B, agent_start_time="2.")
    looks = look(looks, (A, restarted), attempt=ATTEMPT, now=119.0)
    assert not is_settled(looks, now=121.0, waits=WAITS)
    assert is_settled(looks, now=124.0, waits=WAITS)


def test_a_host_that_is_not_back_holds_it_up_until_it_is_overdue() -> None:
    down = dataclasses.replace(A, enabled=False, live=False)
    looks = look(None, (down, B), attempt=ATTEMPT, now=0.0)
    assert not is_settled(looks, now=79.0, waits=WAITS)
    assert not is_overdue(looks, now=79.0, waits=WAITS)
    assert is_overdue(looks, now=80.0, waits=WAITS)


def test_a_live_host_that_stays_disabled_was_disabled_by_a_person() -> None:
    looks = look(None, (A, B), attempt=ATTEMPT, now=0.0)
    looks = look(looks, (dataclasses.replace(A, enabled=False), B), attempt=ATTEMPT, now=10.0)
    assert not is_settled(looks, now=29.0, waits=WAITS)
    assert is_settled(looks, now=30.0, waits=WAITS)


def test_a_dead_host_is_not_back() -> None:
    looks = look(None, (A, dataclasses.replace(B, live=False)), attempt=ATTEMPT, now=0.0)
    assert not is_settled(looks, now=50.0, waits=WAITS)


def test_a_host_that_was_disabled_at_the_submit_need_not_be_enabled() -> None:
    attempt = dataclasses.replace(ATTEMPT, disabled=("a",))
    looks = look(None, (dataclasses.replace(A, enabled=False), B), attempt=attempt, now=0.0)
    assert is_settled(looks, now=20.0, waits=WAITS)


def test_a_host_that_the_pool_no_longer_shows_is_not_back() -> None:
    looks = look(None, (A,), attempt=ATTEMPT, now=0.0)
    assert not is_settled(looks, now=50.0, waits=WAITS)


C = Host("c", "xcp-c", "10.0.0.3", enabled=True, live=True, agent_start_time="1.")
THREE = dataclasses.replace(ATTEMPT, starts={"a": "1.", "b": "1.", "c": "1."})


def test_a_former_coordinator_that_stays_dead_or_leaves_the_pool_holds_up_nothing() -> None:
    for hosts in ((A, B, dataclasses.replace(C, live=False, enabled=False)), (A, B)):
        looks = look(None, hosts, attempt=THREE, now=0.0, ends=("a", "b"))
        assert is_settled(looks, now=20.0, waits=WAITS)
        assert not is_settled(look(None, hosts, attempt=THREE, now=0.0), now=50.0, waits=WAITS)


def test_the_death_of_a_third_host_is_a_change_and_its_return_is_waited_for() -> None:
    looks = look(None, (A, B, C), attempt=THREE, now=0.0, ends=("a", "b"))
    looks = look(looks, (A, B, dataclasses.replace(C, live=False)), attempt=THREE, now=19.0, ends=("a", "b"))
    assert not is_settled(looks, now=20.0, waits=WAITS)
    looks = look(looks, (A, B, dataclasses.replace(C, enabled=False)), attempt=THREE, now=25.0, ends=("a", "b"))
    assert not is_settled(looks, now=40.0, waits=WAITS)


def test_source_and_destination_have_to_be_back() -> None:
    for hosts in ((A, dataclasses.replace(B, live=False), C), (A, C)):
        looks = look(None, hosts, attempt=THREE, now=0.0, ends=("a", "b"))
        assert not is_settled(looks, now=50.0, waits=WAITS)
