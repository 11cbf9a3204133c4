"""Formulas as MathML, which browsers draw by themselves: pages need neither a network nor a script for them."""

from docutils import nodes
from latex2mathml.converter import convert


def setup(app):
    """Makes `html_math_renderer = "mathml"` known."""
    app.add_html_math_renderer("mathml", inline_renderers=(inline, None), block_renderers=(block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def inline(writer, node):
    """Within a line of text."""
    writer.body.append(convert(node.astext()))
    raise nodes.SkipNode


def block(writer, node):
    """A line of its own, which scrolls where the page is narrower."""
    place = f' id="{node["ids"][0]}"' if node.get("ids") else ""
    writer.body.append(f'<div class="formula"{place}>{convert(node.astext(), display="block")}</div>\n')
    raise nodes.SkipNode
