"""WorkloadDraft: the objects of one service in the making."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from aioverseer import Spec
from aioverseer.config.export.app import App
from aioverseer.config.export.given import Given
from aioverseer.config.export.placeholders import fill

__all__ = ["INDEX", "WorkloadDraft", "values_of"]

INDEX = "POD_INDEX"
"""Variable with the number of a pod in a StatefulSet."""
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_NAME = "app.kubernetes.io/name"


def values_of(spec: Spec) -> dict[str, str]:
    """Return the values of placeholders: the number of a pod comes from a variable."""
    if spec.instances is None and spec.port is None and not spec.listen:
        return {}
    index = "0" if spec.instances is None else f"$({INDEX})"
    id = spec.id if spec.instances is None else f"{spec.id}.{index}"
    return {"index": index, "id": id, "run": "1", "port": str(spec.port[0] if spec.port else 8000)}


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadDraft:
    """The objects of one service in the making.

    Attributes:
        app: All services.
        given: Options of the service, and its notes.
        names: Names of all services, by their ids.
        labels: Labels of its objects.
    """

    app: App
    given: Given
    names: Mapping[str, str]
    labels: Mapping[str, str]

    @classmethod
    def of(cls, app: App, given: Given, names: Mapping[str, str]) -> WorkloadDraft:
        """Begin with the labels."""
        labels = {_NAME: names[given.spec.id]}
        if project := re.sub(r"[^A-Za-z0-9._-]+", "-", app.name).strip("-._")[:63].rstrip("-._"):
            labels["app.kubernetes.io/part-of"] = project
        group = given.take("group")
        if group and _LABEL.fullmatch(group):
            labels["aioverseer/group"] = group
        elif group:
            given.lost("group", "it is no value of a label")
        return cls(app=app, given=given, names=names, labels=labels)

    @property
    def spec(self) -> Spec:
        """The service."""
        return self.given.spec

    @property
    def name(self) -> str:
        """Name of its objects."""
        return self.names[self.spec.id]

    @property
    def selector(self) -> dict[str, str]:
        """Labels by which its pods are found."""
        return {_NAME: self.labels[_NAME]}

    def text(self, text: str) -> str:
        """Return a text in which the cluster replaces nothing but the number of the pod."""
        return fill(text.replace("$(", "$$("), self.given.values)
