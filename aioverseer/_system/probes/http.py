"""The one place that speaks HTTP: a GET, by httpx, which is an extra.

Imported when it is first needed. What is right or wrong about an answer is said by the probe.
"""

from __future__ import annotations

import importlib
from typing import Any

from aioverseer._system.probes.answer import NotYet
from aioverseer.core.options.probes import Http

__all__ = ["get"]

httpx: Any = importlib.import_module("httpx")  # by name, so that types are checked without the extra too

_LARGEST = 64 * 1024
"""Bytes of a body in which the pattern is looked for."""


async def get(probe: Http) -> None:
    """Get what a probe asks for. Safe to cancel; how long it may take is for the caller to say.

    Raises:
        NotYet: When the answer is not the right one, or there is none.
    """
    # Without the proxies of the environment: a program of this host is meant, not one on the other side.
    async with httpx.AsyncClient(timeout=None, trust_env=False) as client:  # the caller has a time limit
        try:
            async with client.stream("GET", probe.url) as answer:
                if answer.status_code not in probe.status:
                    raise NotYet(f"status {answer.status_code}")
                if probe.body is None:
                    return
                found = bytearray()
                async for chunk in answer.aiter_bytes():
                    found += chunk
                    if len(found) >= _LARGEST:
                        break
        except httpx.HTTPError as error:
            raise NotYet(str(error) or type(error).__name__) from None
    text = found[:_LARGEST].decode(answer.encoding or "utf-8", "replace")
    if probe.body.search(text) is None:
        raise NotYet(f"{probe.body.pattern!r} is not in its body")
