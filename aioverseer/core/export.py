"""exported_from: the label of public classes, which names the module that users import them from."""

from __future__ import annotations

import builtins
import re
from collections.abc import Callable
from typing import Any, ForwardRef, TypeVar

__all__ = ["exported_from"]

T = TypeVar("T", bound=Callable[..., object])

_BUILTINS = frozenset(vars(builtins))
_WORDS = re.compile(r"[^\W\d]\w*")


def exported_from(module: str) -> Callable[[T], T]:
    """Return a decorator that sets ``__module__`` of a class or function to the module that exports it.

    A traceback then shows ``aioverseer.NotReady`` and not the file of the class, and pickles survive a move of that
    file. The decorator stands above ``@dataclass``, which looks names up in the module of the definition.

    Args:
        module: Name of the public module, for example ``"aioverseer"``.
    """

    def export(thing: T) -> T:
        made: object = thing
        if isinstance(made, type):
            _bind_annotations(made, made.__module__)
            # inspect.getsource() joins this number to the file of ``__module__``, which has other lines there. Without
            # it, inspect raises the same OSError as on Python 3.12.
            if "__firstlineno__" in vars(made):
                del made.__firstlineno__  # type: ignore[attr-defined]  # since Python 3.13
        thing.__module__ = module
        return thing

    return export


def _bind_annotations(owner: type, home: str) -> None:
    """Let ``typing.get_type_hints()`` find the names of annotations in the module where they were written.

    It looks in ``owner.__module__``, unless an annotation is a ForwardRef that names its module. Making one compiles
    its text, so annotations that need builtins alone stay text, which shortens the import of the package.
    """
    annotations: dict[str, object] = owner.__annotations__
    fields: dict[str, Any] = vars(owner).get("__dataclass_fields__", {})
    for name, text in annotations.items():
        if isinstance(text, str) and not _BUILTINS.issuperset(_WORDS.findall(text)):
            annotations[name] = reference = ForwardRef(text, is_argument=False, module=home, is_class=True)
            if name in fields:
                fields[name].type = reference
        elif isinstance(text, ForwardRef):
            text.__forward_module__ = home
