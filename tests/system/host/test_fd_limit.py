"""The limit of open descriptors: raised on request, and restored."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from aioverseer._system.host.fd_limit import DescriptorLimit


@pytest.fixture(name="hard", autouse=True)
def hard_fixture() -> Iterator[int]:
    """Lower the soft limit for the test; yield the hard one."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    yield before[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_soft_limit_is_raised_and_restored(hard: int) -> None:
    """A second restore changes nothing."""
    limit = DescriptorLimit()
    limit.install()
    assert (hard, hard) == resource.getrlimit(resource.RLIMIT_NOFILE)
    for _ in range(2):
        limit.restore()
        assert (256, hard) == resource.getrlimit(resource.RLIMIT_NOFILE)


def test_limit_that_is_high_already_is_left_alone(hard: int) -> None:
    """There is nothing to restore either."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    limit = DescriptorLimit()
    limit.install()
    limit.restore()
    assert (hard, hard) == resource.getrlimit(resource.RLIMIT_NOFILE)


def test_limit_that_other_code_has_changed_stays(hard: int) -> None:
    """The application knows best what it has set in the meantime."""
    limit = DescriptorLimit()
    limit.install()
    resource.setrlimit(resource.RLIMIT_NOFILE, (300, hard))
    limit.restore()
    assert (300, hard) == resource.getrlimit(resource.RLIMIT_NOFILE)
