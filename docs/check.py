"""Checks a built site without a network: `python docs/check.py docs/build`.

Every link to a page, a place on a page or a file leads somewhere, no page loads anything from elsewhere, so that it
opens from a file, and every public name is in the reference. Links that lead away are listed in `external_links.txt` of
the built site.
"""

import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

from sphinx.util.inventory import InventoryFile

import surfacefit
import surfacefit.sklearn

# What loads a file of its own when a page opens.
LOADED = {("script", "src"), ("img", "src"), ("link", "href"), ("source", "src"), ("iframe", "src")}
# Links of a page's head that load nothing.
RELATIONS = ("canonical", "search", "index", "next", "prev", "author", "license")


class Page(HTMLParser):
    """The links of a page, as (is it loaded, target), and the places that links may lead to."""

    def __init__(self, text):
        super().__init__()
        self.links, self.places = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.places |= {values[name] for name in ("id", "name") if values.get(name)}
        for name in ("href", "src"):
            if values.get(name) and not (tag == "link" and values.get("rel") in RELATIONS):
                self.links.append(((tag, name) in LOADED, values[name]))


@cache
def page(path):
    return Page(path.read_text(encoding="utf-8"))


def main(site):
    pages = sorted(path for path in site.rglob("*.html") if "_static" not in path.parts)
    external, wrong = set(), []
    for path in pages:
        for is_loaded, link in page(path).links:
            if link.startswith(("data:", "mailto:", "javascript:")):
                continue
            if "://" in link or link.startswith("//"):
                external.add(link)
                wrong += [f"{path}: loads {link}"] * is_loaded
            elif not leads_somewhere(path, link):
                wrong.append(f"{path}: {link} leads nowhere")
    wrong += [f"{name} is not in the reference" for name in sorted(public_names() - documented(site))]
    (site / "external_links.txt").write_text("\n".join(sorted(external)) + "\n", encoding="utf-8")
    print(*wrong, sep="\n", end="\n" * bool(wrong))
    print(f"{len(pages)} pages, {len(wrong)} mistakes; {len(external)} links lead away, see external_links.txt")
    return bool(wrong)


def leads_somewhere(path, link):
    target, place = urldefrag(link)
    file = path if not target else (path.parent / unquote(target.split("?")[0])).resolve()
    if not file.exists() or file.is_dir():
        return False
    return not place or file.suffix != ".html" or unquote(place) in page(file).places


def public_names():
    """All public names, and those of the methods and properties of public classes that are defined here."""
    names = set()
    for module in (surfacefit, surfacefit.sklearn):
        for name in module.__all__:
            whole, value = f"{module.__name__}.{name}", getattr(module, name)
            names.add(whole)
            if isinstance(value, type):
                names |= {f"{whole}.{member}" for member in own_members(value)}
    return names


def own_members(cls):
    """Public methods and properties of a class, with those of its bases in this package."""
    kinds = (property, staticmethod, classmethod)
    own = [base for base in reversed(cls.__mro__) if base.__module__.startswith("surfacefit")]
    for name, value in {name: value for base in own for name, value in vars(base).items()}.items():
        is_method = isinstance(value, kinds) or callable(value) or hasattr(value, "attrname")
        if not name.startswith("_") and is_method and not isinstance(value, type):
            yield name


def documented(site):
    inventory = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="")
    return {name for kind, entries in inventory.data.items() if kind.startswith("py:") for name in entries}


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
