"""Every item of a recorded topic is a test of its own; a topic is played once a process and world."""

import pytest

from tests.support.recorded.player import Answer, Topic

WORLDS = ("recorded", "second")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give ``answer`` once for every item of the module's ``TOPIC`` and world."""
    topic = getattr(metafunc.module, "TOPIC", None)
    if topic is not None and "answer" in metafunc.fixturenames:
        cases = [(world, item.index) for world in WORLDS for item in topic.items]
        metafunc.parametrize("case", cases, ids=[f"{world}-{topic.name[:2]}-{index}" for world, index in cases])


@pytest.fixture(scope="module")
def topic(request: pytest.FixtureRequest) -> Topic:
    """The topic of the module."""
    found: Topic = request.module.TOPIC
    return found


@pytest.fixture(scope="module")
def recorded(topic: Topic) -> dict[int, Answer]:
    """What the pool that was recorded, simulated, said to each item."""
    return topic.play(is_other=False)


@pytest.fixture(scope="module")
def second(topic: Topic) -> dict[int, Answer]:
    """What a pool with other names, more objects and another order said."""
    return topic.play(is_other=True)


@pytest.fixture
def answer(request: pytest.FixtureRequest, case: tuple[str, int]) -> Answer:
    """What the simulated pool said to this item in this world."""
    world, index = case
    answers: dict[int, Answer] = request.getfixturevalue(world)
    return answers[index]
