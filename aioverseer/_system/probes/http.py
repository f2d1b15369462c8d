"""One HTTP GET with httpx, which is an extra. Imported when a probe first needs it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from aioverseer._system.probes.answer import NotYet
from aioverseer.core.options.probes import Http

__all__ = ["get"]

httpx: Any = importlib.import_module("httpx")  # by name, so that types can be checked without the extra

_MAX_BODY = 64 * 1024
"""Bytes of a body that are searched for the pattern."""


_STEPS = {
    "connection.connect_tcp.started": "a connection",
    "connection.start_tls.started": "the handshake of TLS",
    "http11.receive_response_headers.started": "an answer, after it was connected",
    "http11.receive_response_body.started": "the rest of the body",
}
"""Words for the events of httpcore's extension "trace": what a request waits for from then on."""


async def get(probe: Http, on_progress: Callable[[str], None] | None = None) -> None:
    """Get the URL of a probe. Safe to cancel; the caller sets a time limit.

    Args:
        probe: Probe with the URL.
        on_progress: Called with what the request waits for, as words after "for".

    Raises:
        NotYet: If there is no response, or the wrong one.
    """

    async def trace(event: str, _info: object) -> None:  # httpcore awaits it
        if on_progress is not None and event in _STEPS:
            on_progress(_STEPS[event])

    # trust_env=False: the program runs on this host, so proxies from the environment must not be used.
    async with httpx.AsyncClient(timeout=None, trust_env=False) as client:  # the caller has a time limit
        try:
            async with client.stream("GET", probe.url, extensions={"trace": trace}) as response:
                if response.status_code not in probe.status:
                    raise NotYet(f"status {response.status_code}")
                if probe.body is None:
                    return
                found = bytearray()
                async for chunk in response.aiter_bytes():
                    found += chunk
                    if len(found) >= _MAX_BODY:
                        break
        except httpx.HTTPError as error:
            raise NotYet(str(error) or type(error).__name__) from None
    text = found[:_MAX_BODY].decode(response.encoding or "utf-8", "replace")
    if probe.body.search(text) is None:
        raise NotYet(f"{probe.body.pattern!r} is not in its body")
