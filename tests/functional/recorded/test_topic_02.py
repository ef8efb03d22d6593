"""Trace 02: HTTP, XML-RPC and JSON-RPC; what was written on bare sockets is played by ``test_raw_http``."""

from tests.support.recorded import trace
from tests.support.recorded.lab import make_early_lab
from tests.support.recorded.player import Answer, Topic

RAW = {item.index: "played on a bare socket" for item in trace.notes("02")}
TOPIC = Topic("02_http_and_jsonrpc", make_early_lab(), left_out=RAW)


def test_is_answered_as_recorded(answer: Answer) -> None:
    assert not answer.differences, f"{answer.item.name}\n" + "\n".join(map(str, answer.differences))
