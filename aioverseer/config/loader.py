"""The loader: from a file, profiles and settings to a Config.

It merges all files, replaces the variables, and makes the values. Problems are collected on the way.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from aioverseer import EventHook, Group, OverseerOptions, Spec, SpecError
from aioverseer.config.files import NAMES, find_file
from aioverseer.config.findings import Findings
from aioverseer.config.hidden_values import Hidden
from aioverseer.config.hooks import read_hooks
from aioverseer.config.loaded import Config
from aioverseer.config.merging import Layer, Stack, merge
from aioverseer.config.order import check_order, sorted_groups
from aioverseer.config.overrides import check_variables, services_that_exist
from aioverseer.config.problems import ConfigError, Problem
from aioverseer.config.sections import SECTIONS, check_outline, check_profiles, hint_for, read_control
from aioverseer.config.services import LARGEST, ServiceReader, absolute_logs, escape_for
from aioverseer.config.settings import formation, read_settings
from aioverseer.config.shapes import Path, is_list, is_table, load_of
from aioverseer.config.sources import Sources, unreadable
from aioverseer.config.unused import check_service
from aioverseer.config.variables import Variables
from aioverseer.core.export import exported_from

__all__ = ["load"]


@exported_from("aioverseer.config")
def load(
    path: str | os.PathLike[str] | None = None,
    *,
    profiles: Iterable[str] = (),
    settings: Iterable[str] = (),
    environ: Mapping[str, str] | None = None,
) -> Config:
    """Read a file that describes services.

    It is an ``aioverseer.toml``, a ``pyproject.toml`` with a table ``[tool.aioverseer]``, a Procfile, or the file of
    another supervisor. Nothing is started, and no program is looked for.

    Args:
        path: Path of the file. None looks for one in the working directory and in all folders above it.
        profiles: Names of the profiles that count, in the order in which they are merged.
        settings: Settings above everything in the file, for example ``"web.instances=2"``.
        environ: Variables for ``${NAME}``; by default the environment of this process.

    Raises:
        ConfigError: If a file cannot be read, or something in it is wrong. It lists all problems.
        OverseerError: If the file needs a package that is not installed. It names the extra.
    """
    given_path: str | None = None if path is None else os.fspath(path)
    if given_path is not None and "\0" in given_path:
        problem = Problem(file=repr(given_path), message="is no path: it has a NUL", hint="name a file")
        raise ConfigError([problem])
    file = _found() if given_path is None else os.path.abspath(given_path)
    given = os.environ if environ is None else environ
    chosen = [profiles] if isinstance(profiles, str) else list(profiles)
    sources = Sources(file, given)
    stack = _stacked(sources, chosen, [settings] if isinstance(settings, str) else list(settings))
    return _Load(sources, stack, chosen, given).config()


def _found() -> str:
    folder = os.getcwd()
    found = find_file(folder)
    if found is None:
        message = f"there is no {', '.join(NAMES[:-1])} or {NAMES[-1]} here or in a folder above"
        raise ConfigError(
            [Problem(file=folder, message=message, hint="aioverseer init writes one; or name another file")]
        )
    return found


def _stacked(sources: Sources, profiles: Iterable[str], settings: list[str]) -> Stack:
    """Return all layers: the files, the profiles in their order, and the settings."""
    settled = read_settings(settings, sections=SECTIONS, folder=sources.folder)
    documents = sources.documents(formation(settled))
    layers = [Layer(document=each, path=each.root, data=each.data) for each in documents]
    for profile in profiles:
        for each in documents:
            tables = each.data.get("profiles")
            if is_table(tables) and is_table(table := tables.get(profile)):
                layers.append(
                    Layer(document=each, path=(*each.root, "profiles", profile), data=table, is_override=True)
                )
    layers += (Layer(document=each, path=(), data=each.data, is_override=True) for each in settled)
    return Stack(layers)


class _Load:
    """One load, from the merged table on."""

    def __init__(self, sources: Sources, stack: Stack, profiles: list[str], environ: Mapping[str, str]) -> None:
        self._sources = sources
        self._stack = stack
        self._profiles = profiles
        self._environ = environ
        self._findings = findings = Findings(stack)
        findings.environ = environ
        for problem in sources.problems:
            findings.add_problem((), problem)
        self._data = check_outline(stack.merged(), findings)
        is_whole = not sources.problems
        self._data["services"] = services_that_exist(self._data, stack, findings, is_whole=is_whole)
        if is_whole:
            check_variables(self._data, stack, findings)
        self._left_out_for: dict[str, str] = {}
        """Services that are not part of this load, with the reason."""
        self._from_files: dict[str, str] = {}
        for at, name in enumerate(self._data.get("env_files", [])):
            path = ("env_files", at)
            self._from_files |= self._env_file(Variables(environ, {}, findings.add).replaced(name, path), path)
        findings.environ = {**self._from_files, **environ}
        self._variables = Variables(findings.environ, self._data.get("vars", {}), findings.add, escape_for)

    def config(self) -> Config:
        """Return the Config.

        Raises:
            ConfigError: With all problems.
        """
        self._check_profiles()
        name = self._name()
        specs = self._specs()
        check_service(self._section("defaults"), ("defaults",), self._findings)  # each service may override them
        hooks = self._hooks()
        groups = self._groups()
        options = self._overseer_options()
        control = read_control(self._section("control"), self._findings)
        check_profiles(self._data.get("profiles", {}), self._findings)
        self._findings.raise_if_any()
        return Config(
            name=name,
            path=self._sources.file,
            files=tuple(self._sources.files),
            specs=specs,
            groups=groups,
            overseer_options=options,
            hooks=hooks,
            control=control,
            notes=self._sources.notes,
            hidden=self._hidden(specs),
        )

    def _section(self, name: str, default: Any = None) -> Any:
        """Return a section with the variables replaced."""
        given = self._data.get(name, {} if default is None else default)
        return self._variables.replaced(given, (name,))

    def _env_file(self, name: Any, path: Path) -> dict[str, str]:
        if not isinstance(name, str) or not name.lstrip("?") or "\0" in name:
            self._findings.add(path, "this is no path", 'write ".env", or "?.env" for a file that may be missing')
            return {}
        try:
            return self._sources.env_file(name, self._stack.origin(path).document.folder)
        except ConfigError as error:
            for problem in error.problems:
                if problem.line is None:
                    self._findings.add(path, *unreadable(name, problem))
                else:
                    self._findings.add_problem(path, problem)
            return {}

    def _check_profiles(self) -> None:
        if self._sources.problems:
            return  # a file that was left out may have more of them
        known = dict.fromkeys(self._data.get("profiles", {}))
        for table in self._data.get("services", {}).values():
            known |= dict.fromkeys(_texts(table.get("profiles")))
        for each in self._profiles:
            if each not in known:
                hint = hint_for(each, known, self._findings)
                problem = Problem(file=self._sources.file, message=f"there is no profile {each!r}", hint=hint)
                self._findings.add_problem((), problem)

    def _name(self) -> str:
        folder = os.path.basename(self._sources.folder)
        usual = "".join(sign for sign in folder if sign.isprintable()).strip() or "overseer"
        name = self._section("name", usual)
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            self._findings.add(("name",), "this is no name", 'write a text: name = "shop"')
        return str(name)

    @property
    def _added(self) -> dict[str, str]:
        """Variables that programs get in addition to those of this process."""
        return {name: value for name, value in self._from_files.items() if name not in self._environ}

    def _specs(self) -> tuple[Spec, ...]:
        defaults, variables = self._section("defaults"), self._added
        reader = ServiceReader(
            folder=self._sources.folder,
            defaults=defaults,
            variables=variables,
            read_env_file=self._env_file,
            findings=self._findings,
        )
        services = self._data.get("services", {})
        for section, value in (("defaults", defaults), ("env_files", variables)):
            if load_of(value) * len(services) > LARGEST:
                message = f"these are too many for {len(services)} services"
                self._findings.add((section,), message, "write less of them")
                return ()
        tables: dict[str, dict[str, Any]] = {}
        left_out = self._left_out_for
        for id, table in services.items():
            why = self._left_out(id, table)
            if why:
                left_out[id] = why
                check_service(table, ("services", id), self._findings)
            else:
                tables[id] = self._variables.replaced(table, ("services", id))
        if not reader.check_files(tables):
            return ()
        specs = {id: reader.read(id, table) for id, table in tables.items()}
        check_order(specs, left_out, self._findings, is_whole=not self._sources.problems)
        return tuple(spec for spec in specs.values() if spec is not None)

    def _hidden(self, specs: Iterable[Spec]) -> Hidden:
        """Return the variables of each service whose values no text about it shows."""
        ports = {spec.id: spec.extra_env["PORT"] for spec in specs if "PORT" in spec.extra_env}
        defaults, services = self._data.get("defaults", {}), self._data.get("services", {})
        for id in [id for id in ports if "PORT" in merge(defaults, services[id]).get("extra_env", {})]:
            del ports[id]  # of the file itself
        return Hidden(self._findings.environ, self._data, self._sources.names, ports)

    def _left_out(self, id: str, table: Mapping[str, Any]) -> str:
        """Return why a service is no part of this load; empty if it is."""
        defaults = self._data.get("defaults", {})
        path = ("services", id)
        enabled = self._variables.replaced(table.get("enabled", defaults.get("enabled", True)), (*path, "enabled"))
        if isinstance(enabled, str) and enabled in {"true", "false"}:  # from a variable of the environment
            enabled = enabled == "true"
        if not isinstance(enabled, bool):
            self._findings.add((*path, "enabled"), "this is neither", "write true or false")
        elif not enabled:
            return "it has enabled = false"
        wanted = self._variables.replaced(table.get("profiles", defaults.get("profiles", [])), (*path, "profiles"))
        if _texts(wanted) != wanted:
            self._findings.add((*path, "profiles"), "this is no list of names", 'write profiles = ["dev"]')
        elif wanted and set(wanted).isdisjoint(self._profiles):
            return f"it belongs to the profile {' or '.join(map(repr, wanted))}, which was not chosen"
        return ""

    def _hooks(self) -> tuple[EventHook, ...]:
        return read_hooks(
            self._section("hooks", []),
            folder=self._sources.folder,
            variables=self._added,
            services=self._data.get("services", {}),
            left_out=self._left_out_for,
            findings=self._findings,
        )

    def _groups(self) -> tuple[Group, ...]:
        groups: dict[str, Group] = {}
        for name, table in self._section("groups").items():
            path = ("groups", name)
            try:
                groups[name] = Group.from_dict(name, table)
            except SpecError as error:
                self._findings.add_error(path, error)
        return sorted_groups(groups, self._data.get("groups", {}), self._findings)

    def _overseer_options(self) -> OverseerOptions:
        table = dict(self._section("overseer"))
        if "log" in table:
            table["log"] = absolute_logs(table["log"], self._sources.folder)
        try:
            return OverseerOptions.from_dict(table)
        except SpecError as error:
            self._findings.add_error(("overseer",), error)
            return OverseerOptions()


def _texts(value: Any) -> list[str]:
    return [each for each in value if isinstance(each, str)] if is_list(value) else []
