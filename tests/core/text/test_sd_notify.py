"""Parsing of the datagrams of sd_notify(3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioverseer.core.text.sd_notify import Notice, read_notice


@pytest.mark.parametrize(
    ("datagram", "notice"),
    [
        (b"READY=1", Notice(ready=True)),
        (b"READY=1\nSTATUS=All is well\n", Notice(ready=True, status="All is well")),
        (b"READY=0", Notice()),
        (b"RELOADING=1\nMONOTONIC_USEC=5", Notice(reloading=True)),
        (b"STOPPING=1", Notice(stopping=True)),
        (b"WATCHDOG=1", Notice(watchdog=True)),
        (b"WATCHDOG=trigger", Notice(trouble=True)),
        (b"EXTEND_TIMEOUT_USEC=1500000", Notice(extend=1.5)),
        (b"EXTEND_TIMEOUT_USEC=-5", Notice()),
        (b"EXTEND_TIMEOUT_USEC= 5_0", Notice()),
        (b"MAINPID=123", Notice(main_pid=123)),
        (b"BARRIER=1", Notice(barrier=True)),
        (b"ERRNO=2", Notice(error=2)),
        (b"ERRNO=0", Notice()),
        (b"ERRNO=-2", Notice()),
        (b"RESTART_RESET=1", Notice(restart_reset=True)),
        (b"RESTART_RESET=0", Notice()),
        (b"STATUS=a=b", Notice(status="a=b")),
        (b"STATUS=", Notice(status="")),
        (b"STATUS=\xff", Notice(status="\\xff")),
        (b"X_OURS=1\nrubbish\n\n", Notice()),
        (b"", Notice()),
    ],
)
def test_a_datagram(datagram: bytes, notice: Notice) -> None:
    """Assignments, one a line; what is unknown or cannot be read is left out."""
    assert notice == read_notice(datagram)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["READY", "STATUS", "WATCHDOG", "MAINPID", "EXTEND_TIMEOUT_USEC", "", "X"]),
            st.binary(max_size=30),
        )
    )
)
def test_any_bytes_are_read(pairs: list[tuple[str, bytes]]) -> None:
    """A program may send what it likes: nothing raises, and numbers are numbers."""
    notice = read_notice(b"\n".join(name.encode() + b"=" + value for name, value in pairs))
    assert notice.extend is None or notice.extend >= 0
    assert notice.main_pid is None or notice.main_pid >= 0
