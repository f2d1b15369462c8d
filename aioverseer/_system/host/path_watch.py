"""PathWatch: calls back when files change below folders, by watchdog, which is an extra. Imported late."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

from aioverseer.core.errors import OverseerError

__all__ = ["PathWatch"]

# By name, so that types can be checked without the extra.
_observers: Any = importlib.import_module("watchdog.observers")
_api: Any = importlib.import_module("watchdog.observers.api")
_inotify: Any = None
if sys.platform == "linux":
    _inotify = importlib.import_module("watchdog.observers.inotify")

_HARMLESS = frozenset({"opened", "closed_no_write"})
"""Kinds of events of watchdog that change nothing. ``closed`` follows a write."""


class PathWatch:
    """The watch of some files and folders. A thread of watchdog waits for the events of the kernel."""

    def __init__(self, paths: Iterable[str], on_change: Callable[[str, str], None]) -> None:
        """Begin to watch, on the running event loop. ``close`` must follow.

        Args:
            paths: Absolute paths. Of a file, the folder is watched: editors replace files.
            on_change: Called on the event loop with the watched path and the path that has changed. They are equal when
                events were lost, and when a watched folder was made anew: the kernel's watch ended with the old one.

        Raises:
            OverseerError: If watchdog is missing, or a path cannot be watched.
        """
        self._loop = asyncio.get_running_loop()
        self._on_change = on_change
        self._closed = False
        paths = tuple(paths)
        self._observer, self._shared = _new_observer(lambda: self._report_loss(paths))
        try:
            for path in paths:
                is_folder = os.path.isdir(path)
                folder = path if is_folder else os.path.dirname(path)
                os.stat(folder)  # before anything is opened: the error of watchdog names no path
                self._observer.schedule(_Handler(self, path, is_folder=is_folder), folder, recursive=is_folder)
                if is_folder and (parent := os.path.dirname(path)) != path:
                    self._observer.schedule(_Handler(self, path, is_folder=False), parent, recursive=False)
            self._observer.start()
        except OSError as error:
            self._observer.unschedule_all()
            self.close()
            raise OverseerError(f"cannot watch {error.filename or 'files'}: {error.strerror}") from error

    def report(self, watched: str, path: str) -> None:
        """Pass a change on to the event loop. Called by the threads of watchdog."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._pass_on, watched, path)

    def _report_loss(self, paths: Iterable[str]) -> None:
        for path in paths:  # each one has patterns of its own, and nobody knows which one has changed
            self.report(path, path)

    def _pass_on(self, watched: str, path: str) -> None:
        if not self._closed:
            self._on_change(watched, path)

    def close(self) -> None:
        """Stop to watch. The threads end by themselves within a moment. Idempotent."""
        if not self._closed:
            self._closed = True
            self._observer.stop()
            if self._shared is not None:
                self._shared.stop()


def _new_observer(on_overflow: Callable[[], None]) -> tuple[Any, Any]:
    """Return an observer, and the thread that it shares among its folders; None for no such thread.

    Since watchdog 7 one inotify instance with a thread serves the whole process, and is never closed. So the observer
    gets one of its own.

    Args:
        on_overflow: Called in that thread when the kernel has lost events.
    """
    if _inotify is None or not hasattr(_inotify, "InotifyFD"):
        return _observers.Observer(), None
    shared = _inotify.InotifyFD()
    handle = shared.handle_event

    def handle_event(event: Any) -> None:
        if getattr(event, "is_queue_overflow", False):
            on_overflow()
        handle(event)

    shared.handle_event = handle_event
    shared.start()
    return _api.BaseObserver(functools.partial(_inotify.InotifyEmitter, inotify_fd=shared)), shared


class _Handler:
    """A handler of watchdog, which calls ``dispatch`` alone."""

    def __init__(self, watch: PathWatch, path: str, *, is_folder: bool) -> None:
        self._watch = watch
        self._path = path
        self._is_folder = is_folder

    def dispatch(self, event: Any) -> None:
        """Take an event, in a thread of watchdog."""
        if event.event_type in _HARMLESS or (event.is_directory and event.event_type == "modified"):
            return
        for path in filter(None, (event.src_path, getattr(event, "dest_path", ""))):
            text = os.fsdecode(path)
            # A folder that was removed tells so itself, by its own path.
            if text != self._path if self._is_folder else text == self._path:
                self._watch.report(self._path, text)
