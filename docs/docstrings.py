"""A step before numpydoc: items "name : text" of our docstrings, of which it would read the text as a type.

In a section, "name : type" with a description below stays as it is; an item whose text runs on from the first line
becomes "name" with all of its text below. Elsewhere such items become a list of definitions.
"""

import re

# "amplitudes : (K,) peak heights", "aic, aicc, bic : ..."; keyword names, perhaps with stars.
ITEM = re.compile(r"^(\*{0,2}[A-Za-z_]\w*(?:, [A-Za-z_]\w*)*) : (\S.*)$")
# Lines of our sources end at 120 characters, and docstrings are indented by 4 or 8 of them.
LINE_LENGTH, INDENTS = 120, (4, 8)


def setup(app):
    """Runs before numpydoc, which listens with priority 500."""
    app.connect("autodoc-process-docstring", reshape, priority=400)
    app.connect("autodoc-skip-member", is_from_scikit_learn)
    return {"parallel_read_safe": True}


def reshape(app, what, name, obj, options, lines):
    """Changes ``lines`` in place."""
    lines[:] = reshaped(lines)


def is_from_scikit_learn(app, what, name, obj, skip, options):
    """Members that scikit-learn gives our estimators: its documentation describes them."""
    return True if (getattr(obj, "__module__", None) or "").startswith("sklearn") else None


def reshaped(lines):
    out, section, i = [], "", 0
    while i < len(lines):
        if i + 1 < len(lines) and re.fullmatch(r"-{3,}", lines[i + 1]):
            section = lines[i]
        item = ITEM.match(lines[i])
        if not item or section in ("Returns", "Yields", "Examples"):
            out.append(lines[i])
            i += 1
            continue
        i, text = _text_below(lines, i + 1)
        out += _in_section(item, text) if section else _definition(item, text, out)
    return out


def _text_below(lines, i):
    """The indented lines from ``i`` on, with the blank ones between them, and the line after them."""
    end = i
    for j in range(i, len(lines)):
        if lines[j].startswith("    "):
            end = j + 1
        elif lines[j].strip():
            break
    return end, lines[i:end]


def _in_section(item, text):
    if text and not _runs_on(item.string, text[0]):
        return [item.string, *text]
    names = item[1].replace("_,", "\\_,")  # numpydoc escapes the last one itself
    return [names, f"    {item[2]}", *text]


def _definition(item, text, out):
    blank = [""] if out and out[-1].strip() else []
    return [*blank, f"``{item[1]}``", f"    {item[2]}", *text, ""]


def _runs_on(first, below):
    """Whether a line was broken here because the next word did not fit."""
    word = below.split()[0]
    return any(indent + len(first) + 1 + len(word) > LINE_LENGTH for indent in INDENTS[1:])
