"""Links to `benchmarks/RESULTS.md`, which lies beside `docs/` and is a page of the site under another name."""

import re

# A link in Markdown to the record of the benchmarks: the way up to the repository, the file, perhaps a place in it.
LINK = re.compile(r"\]\((?:\.\./)+benchmarks/RESULTS\.md(#[^)]*)?\)")


def setup(app):
    """Every page is changed as it is read."""
    app.connect("source-read", lead_to_pages)
    return {"parallel_read_safe": True}


def lead_to_pages(app, name, source):
    """Changes ``source[0]``, the text of a page."""
    source[0] = LINK.sub(lambda found: f"](/background/results.md{found[1] or ''})", source[0])
