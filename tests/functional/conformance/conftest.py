"""A client of a pool in both worlds, for the areas that need no more than that."""

from collections.abc import Iterator

import pytest

from lmflow.simulator.kernel import Options
from lmflow.simulator.pool import SimulatedPool
from lmflow.simulator.worlds import world
from tests.support.recorded import lab
from tests.support.wire import WireClient


@pytest.fixture(scope="module", params=["recorded", "second"])
def wire(request: pytest.FixtureRequest) -> Iterator[WireClient]:
    """A client of a pool, logged in; its time goes by the module's ``SCALE``."""
    description = lab.make_lab() if request.param == "recorded" else lab.make_other(lab.make_lab())
    with SimulatedPool(Options(time_scale=request.module.SCALE), world=world.load(description)) as pool:
        client = WireClient(pool)
        client.login()
        yield client
