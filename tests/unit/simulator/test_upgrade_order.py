"""Which host is the older one."""

import pytest

from lmflow.simulator.database.schema import Schema
from lmflow.simulator.database.store import Store
from lmflow.simulator.rules import upgrade_order


def make_store(*versions: dict[str, str]) -> tuple[Store, list[str]]:
    store = Store(Schema.load())
    return store, [store.create("host", {"software_version": version}) for version in versions]


@pytest.mark.parametrize(
    ("one", "other", "is_older"),
    [
        ({"platform_version": "3.2.0"}, {"platform_version": "3.10.0"}, True),
        ({"platform_version": "3.10.0"}, {"platform_version": "3.2.0"}, False),
        ({"platform_version": "3.2"}, {"platform_version": "3.2.0"}, True),
        ({"xapi_build": "26.16.9"}, {"xapi_build": "26.17.0-29"}, True),
        ({"xen": "4.17.5"}, {"xen": "4.17.5"}, False),
        ({"platform_version": "3.3", "xen": "4.13"}, {"platform_version": "3.2", "xen": "4.17"}, False),
        ({}, {"platform_version": "1"}, True),
    ],
)
def test_numbers_are_compared_as_numbers(one: dict[str, str], other: dict[str, str], is_older: bool) -> None:
    store, (first, second) = make_store(one, other)
    assert upgrade_order.is_older(store, first, second) is is_older


def test_without_a_pool_nothing_is_upgraded() -> None:
    store, (first, second) = make_store({"platform_version": "3"}, {"platform_version": "2"})
    assert not upgrade_order.is_in_progress(store)
    upgrade_order.check_way(store, first, second)
