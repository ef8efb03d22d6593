"""One login that several runs share, against a simulated pool: what each may still do when another one replaced it."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lmflow.exceptions import LoginError, SessionNotArmedError, UnreachableError
from lmflow.models import PoolProfile
from lmflow.xapi.connection import Connection
from lmflow.xapi.links import Links
from tests.support.pool import SimulatedPool, start_pool
from tests.support.scripted_host import PASSWORD, ScriptedHost, failure

LOGIN = "session.login_with_password"
MakeHost = Callable[..., ScriptedHost]


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[SimulatedPool]:
    """The lab, a hundred times as fast as in earnest."""
    made = start_pool(tmp_path / "pool", "lab", time_scale=100)
    yield made
    made.stop()


@pytest.fixture
def share(pool: SimulatedPool) -> Iterator[Callable[[], Connection]]:
    """Open handles on one link of this process; closed after the test."""
    links, made = Links(), list[Connection]()
    ready = pool.ready
    profile = PoolProfile("lab", (ready["coordinator"],), scheme=ready["scheme"], port=ready["port"])

    def open_one() -> Connection:
        made.append(links.open(profile, lambda: str(ready["password"])))
        return made[-1]

    yield open_one
    for handle in made:
        handle.close()


def migrate(conn: Connection, pool: SimulatedPool, vm: str) -> str:
    refs = (pool.find_ref("VM", vm), pool.find_ref("host", "xcp-b"))
    return conn.start("VM.pool_migrate", *refs, {"live": "true"}, attempt_id=f"a-{vm}")


def test_one_login_for_all_and_the_last_one_logs_out(share: Callable[[], Connection], pool: SimulatedPool) -> None:
    handles = [share() for _ in range(5)]
    assert len({handle.session_uuid for handle in handles}) == 1
    for handle in handles[1:]:
        handle.close()
    handles[0].read("pool.get_all")
    assert (len(pool.audit(LOGIN)), len(pool.audit("session.logout"))) == (1, 0)
    handles[0].close()
    assert len(pool.audit("session.logout")) == 1
    assert share().session_uuid != handles[0].session_uuid


def test_a_run_that_was_taken_over_cannot_send_in_the_session_of_another(
    share: Callable[[], Connection], pool: SimulatedPool
) -> None:
    """Paused, one of its runs taken over, the shared session ended; then another run of it logs in anew."""
    lost, other = share(), share()
    session_uuid = lost.session_uuid
    lost.arm(session_uuid)
    other.arm(session_uuid)
    profile = lost.profile
    with Connection.open(profile, lambda: str(pool.ready["password"])) as owner:
        assert owner.end_session(session_uuid)
    assert other.read("pool.get_all")
    assert other.session_uuid not in ("", session_uuid)
    assert not lost.armed
    assert not other.armed
    lost.arm(session_uuid)  # it had read which one to arm for before it was paused
    other.arm(other.session_uuid)
    with pytest.raises(SessionNotArmedError):
        migrate(lost, pool, "web-01")
    assert migrate(other, pool, "web-02")
    while any(call["effect"] is None for call in pool.audit("VM.pool_migrate")):  # accepted, and not worked off yet
        time.sleep(0.01)
    assert [call["params"][1] for call in pool.effects()] == [pool.find_ref("VM", "web-02")]


def test_the_fence_of_one_run_leaves_the_others_to_be_armed_again(
    share: Callable[[], Connection], pool: SimulatedPool
) -> None:
    one, other = share(), share()
    one.arm()
    other.arm()
    before = one.session_uuid
    one.fence_off()
    assert (one.armed, other.armed, one.session_uuid == before) == (False, False, False)
    assert len(pool.audit("session.logout")) == 1
    other.fence_off()  # the session in which it sent is over already: no new login
    assert len(pool.audit(LOGIN)) == 2
    other.arm(other.session_uuid)
    assert migrate(other, pool, "web-01")


def test_a_pool_that_does_not_let_us_in_is_asked_with_pauses(make_host: MakeHost) -> None:
    host = make_host({LOGIN: [failure("HOST_STILL_BOOTING")]})
    links, profile = Links(), host.profile()
    for _ in range(50):
        with pytest.raises(UnreachableError) as caught:
            links.open(profile, lambda: PASSWORD)
        assert not isinstance(caught.value, LoginError)
        assert "HOST_STILL_BOOTING" in str(caught.value)
    assert host.count(LOGIN) < 25
