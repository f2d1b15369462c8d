"""Options for processors, disks, the out-of-memory killer and capabilities, and what they refuse."""

from __future__ import annotations

from typing import Any

import pytest

from aioverseer.core.errors import SpecError
from aioverseer.core.options.privileges import CAPABILITIES, io_priority
from aioverseer.core.options.spec import Spec


def spec(**options: Any) -> Spec:
    return Spec(id="web", argv=("true",), **options)


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"cpus": [3, 1, 1]}, (1, 3)),
        ({"cpus": range(2)}, (0, 1)),
        ({"cpus": []}, ()),
        ({"io_class": "idle"}, "idle"),
        ({"io_class": "best-effort:7"}, "best-effort:7"),
        ({"ambient_capabilities": ["CAP_NET_RAW", "net_bind_service", "net_raw"]}, ("net_raw", "net_bind_service")),
        ({"oom_score_adj": -1000}, -1000),
        ({"no_new_privileges": True}, True),
    ],
)
def test_values_are_kept_in_one_form(options: dict[str, Any], kept: object) -> None:
    assert kept == getattr(spec(**options), next(iter(options)))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cpus": 2}, "write cpus=[2] for that processor, or cpu_max=2 for so many processors"),
        ({"cpus": 1.5}, "cpu_max=1.5"),
        ({"cpus": "0-3"}, "is no list: pass numbers of processors, such as [0, 1] or range(4)"),
        ({"cpus": [0, -1]}, "cpus=-1 is no processor"),
        ({"cpus": [True]}, "cpus=True is no processor"),
        ({"cpus": [8192]}, "cpus=8192 is no processor"),
        ({"io_class": "low"}, 'pass "idle", "best-effort" or "realtime"'),
        ({"io_class": 3}, 'pass "idle"'),
        ({"io_class": "idle:3"}, 'pass "idle"'),
        ({"io_class": "realtime:8"}, 'as "best-effort:7"'),
        ({"io_class": "realtime:"}, 'as "best-effort:7"'),
        ({"ambient_capabilities": "net_raw"}, "is no list: write ['net_raw']"),
        ({"ambient_capabilities": 5}, "is no list: pass names of capabilities"),
        ({"ambient_capabilities": ["root"]}, "ambient_capabilities='root' is no capability"),
        ({"ambient_capabilities": [10]}, "ambient_capabilities=10 is no capability"),
        ({"oom_score_adj": 1001}, "is too high: pass -1000 to 1000"),
        ({"oom_score_adj": "500"}, "is no whole number"),
        ({"no_new_privileges": 1}, "pass True or False"),
    ],
)
def test_other_values_are_refused_by_name(options: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec(**options)
    assert words in str(caught.value)
    assert next(iter(options)) == caught.value.option


def test_a_class_may_have_a_level() -> None:
    assert ("idle", None) == io_priority("idle")
    assert ("realtime", 0) == io_priority("realtime:0")


def test_each_capability_has_the_number_of_the_kernel() -> None:
    """Three of them, from linux/capability.h: the others follow in order."""
    numbers = {name: CAPABILITIES.index(name) for name in ("chown", "net_bind_service", "checkpoint_restore")}
    assert {"chown": 0, "net_bind_service": 10, "checkpoint_restore": 40} == numbers
