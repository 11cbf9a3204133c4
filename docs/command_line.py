"""The directive ``command-line``: every command with its options, from the parsers themselves."""

import argparse
import re

from sphinx.util.docutils import SphinxDirective

from surfacefit._fit.cli_parser import commands


class CommandLine(SphinxDirective):
    """A section a command: what it takes, each option by its group, and its examples."""

    def run(self):
        text = "\n".join(line for name, command in commands().items() for line in section(name, command))
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def section(name, command):
    words = [spelled(one) for one in command._actions if one.required or not one.option_strings]
    yield from (name, "-" * len(name), "", escaped(command.description), "", "::", "")
    yield from (f"    {' '.join([command.prog, *words, '[options]'])}", "")
    for group in command._action_groups:
        rows = [one for one in group._group_actions if "--help" not in one.option_strings]
        if rows:
            yield from (f".. rubric:: {group.title.capitalize()}", "")
            yield from (line for one in rows for line in entry(command, one))
            yield ""
    yield from ("::", "", *(f"    {line}" for line in command.epilog.splitlines()), "")


def entry(command, option):
    """An option and its help, as an entry of a definition list."""
    formatter = argparse.HelpFormatter(command.prog)
    names = formatter._format_action_invocation(option)
    yield f"``{re.sub('{.*}', lambda choices: choices[0].replace(',', ', '), names)}``"
    yield f"    {escaped(formatter._expand_help(option))}"


def spelled(action):
    """An argument as it is given."""
    name = action.metavar or action.dest
    if action.option_strings:
        return f"{action.option_strings[0]} {name}"
    return f"[{name}]" if action.nargs == "?" else name


def escaped(text):
    """Text of help as reStructuredText, where options and what stands between backticks are code."""
    parts = re.sub(r"(?<![\w`-])--?[a-z][\w-]*(?:=\S+)?", r"`\g<0>`", text).split("`")
    parts[::2] = [re.sub(r"([*|_\\])", r"\\\1", part) for part in parts[::2]]
    return "``".join(parts)


def setup(app):
    app.add_directive("command-line", CommandLine)
    return {"parallel_read_safe": True}
