"""Pictures and tables as HTML that needs no other file."""

from __future__ import annotations

import base64
import io
from html import escape
from typing import Any

# Dots an inch of the pictures: sharp on a screen, some 100 kB each.
DOTS_PER_INCH = 120
# The style sheet of the page, which must show without a network.
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; border-bottom: 1px solid #ccc; }
img { max-width: 100%; } table { border-collapse: collapse; font-size: 0.9rem; }
td, th { padding: 0.15rem 0.7rem; text-align: right; } .wide { overflow-x: auto; }
"""


def picture(figure: Any, what: str) -> str:
    """A figure as an image within the page."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH)
    return f'<img alt="{escape(what)}" src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">'


def table(rows: list[Any]) -> str:
    """Rows of text."""
    lines = "\n".join(
        "<tr>" + "".join(f'<td style="text-align: left">{escape(str(cell))}</td>' for cell in row) + "</tr>"
        for row in rows
    )
    return f"<table>{lines}</table>"
