"""One fleet for all fault tests; each ends with what must hold after any fault."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from config.dev.terminal import tail
from tests.acceptance.system import until
from tests.faults import invariants
from tests.faults.fleet import Fleet, running

_failed = pytest.StashKey[bool]()
_SETTLING_S = 60.0


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Leave the slow ones out, unless these tests or their marks were asked for."""
    asked_for = (config.option.markexpr, *config.args)
    if any(word in each for each in asked_for for word in ("fault", "slow")):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if item not in slow]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[_failed] = item.stash.get(_failed, False) or report.failed
    return report


@pytest.fixture(scope="session")
def whole_fleet() -> Iterator[Fleet]:
    with running() as fleet:
        yield fleet


@pytest.fixture
def fleet(whole_fleet: Fleet, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """A fleet with nothing wrong; whatever a test did, the invariants hold after."""
    fleet = whole_fleet
    fleet.heal()
    fleet.begin()
    yield fleet
    fleet.restore_servers()
    if request.node.stash.get(_failed, False):
        _give_up(fleet)
        return
    _await_the_end(fleet)
    fleet.close_proxies()
    assert fleet.violations() == []


def _await_the_end(fleet: Fleet) -> None:
    def settled() -> bool:
        return not invariants.unfinished(fleet.env["DATABASE_URL"], fleet.since)

    until(settled, seconds=_SETTLING_S, what="the end of every execution")


def _give_up(fleet: Fleet) -> None:
    """Show what the processes said, and leave nothing running to the next test."""
    for name in tuple(fleet.children):
        print(f"--- {name}\n{tail(fleet.log_file(name), 60)}")  # noqa: T201
        fleet.kill(name)
    fleet.close_proxies()
    fleet.query(
        "UPDATE executions_execution SET status = 'cancelled', finished_at = now() "
        "WHERE finished_at IS NULL RETURNING id"
    )
