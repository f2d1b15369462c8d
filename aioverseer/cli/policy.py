"""The options about restarts and stops, applied to Specs."""

from __future__ import annotations

import dataclasses
import signal

from aioverseer import Spec, Step, Stop
from aioverseer.cli.arguments import PolicyOptions

__all__ = ["with_policy"]


def with_policy(spec: Spec, policy: PolicyOptions) -> Spec:
    """Return the Spec with the options of the command line.

    A ladder that the command line changes has one step. Its signal and time are those of the first signal of the ladder
    before, unless the command line has them; the scope stays.

    Args:
        spec: The Spec.
        policy: The options; None in it keeps what the Spec has.
    """
    restart = spec.restart
    if policy.when is not None:
        restart = dataclasses.replace(restart, when=policy.when)
    if policy.max_restarts is not None:
        most = policy.max_restarts
        restart = dataclasses.replace(restart, max_restarts=most if isinstance(most, int) else None)
    stop = spec.stop
    if policy.stop_signal is not None or policy.stop_timeout is not None:
        first = next(filter(_is_request, stop.steps), Stop().steps[0])
        timeout = first.timeout if policy.stop_timeout is None else policy.stop_timeout
        asked = first.signal if isinstance(first, Step) else signal.SIGTERM
        stop = Stop(steps=[(policy.stop_signal or asked, timeout)], scope=stop.scope)
    return spec.updated(restart=restart, stop=stop)


def _is_request(step: object) -> bool:
    """Return whether a step of a ladder is a signal that asks for the end."""
    return isinstance(step, Step) and step.signal != signal.SIGKILL
