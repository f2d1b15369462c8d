"""``aioverseer check``: read a file, draw the order of its starts, and warn of what will surprise."""

from __future__ import annotations

from aioverseer.cli.arguments import CheckOptions
from aioverseer.cli.host_lookups import is_found, refusals
from aioverseer.cli.printing import complain, draws_lines, plural, shown_path
from aioverseer.cli.source import ineffective, read_config
from aioverseer.config import advise, draw_graph, draw_tree

__all__ = ["check"]


def check(options: CheckOptions) -> int:
    """Check a file, and return the exit code: 0 if it can be used.

    Args:
        options: The arguments of the command line.

    Raises:
        ConfigError: If the file cannot be used; with all that is wrong.
    """
    config = read_config(options.source)
    if options.graph:
        print(draw_graph(config.specs))
    else:
        print(f"{config.name}: {plural(len(config.specs), 'service')} in {', '.join(map(shown_path, config.files))}")
        if config.specs:
            print(draw_tree(config.specs, fancy=draws_lines(), hide=config.hidden))
    for note in config.notes:
        if note.what != "carried":
            complain(str(note))
    places = {spec.id: place for place, spec in enumerate(config.specs)}
    advice = [*advise(config.specs, is_found=is_found), *refusals(config.specs)]
    warnings = [str(each.masked(config.hidden)) for each in sorted(advice, key=lambda each: places[each.service])]
    if (about := ineffective(config)) is not None:
        warnings.append(about)
    for each in warnings:
        complain(f"warning: {each}")
    if warnings:
        complain(plural(len(warnings), "warning"))
    return 1 if warnings and options.strict else 0
