"""Every item of a recorded topic is a test of its own; a topic is played once a process and world."""

from typing import Any

import pytest

from tests.support.recorded.player import Answer, Topic

_PLAYED: dict[tuple[str, bool], dict[int, Answer] | BaseException] = {}


def play_once(topic: Topic, *, is_other: bool) -> dict[int, Answer]:
    """Play a topic, or give what came of it before; what broke it breaks each of its tests."""
    key = (topic.name, is_other)
    if key not in _PLAYED:
        try:
            _PLAYED[key] = topic.play(is_other=is_other)
        except Exception as error:  # raised again for every item of the topic
            _PLAYED[key] = error
    found = _PLAYED[key]
    if isinstance(found, BaseException):
        raise found
    return found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give ``answer`` once for every item of the module's ``TOPIC`` and world."""
    topic = getattr(metafunc.module, "TOPIC", None)
    if topic is not None and "answer" in metafunc.fixturenames:
        cases = [(item.index, other) for other in (False, True) for item in topic.items]
        ids = [f"{'second' if other else 'recorded'}-{topic.name[:2]}-{index}" for index, other in cases]
        metafunc.parametrize("case", cases, ids=ids)


@pytest.fixture
def answer(request: pytest.FixtureRequest, case: tuple[int, bool]) -> Answer:
    """What the simulated pool said to this item in this world."""
    topic: Any = request.module.TOPIC
    index, is_other = case
    return play_once(topic, is_other=is_other)[index]


@pytest.fixture
def case() -> tuple[int, bool]:
    raise AssertionError("only tests of a topic have a case")
