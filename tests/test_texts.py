"""The texts: lines a person can read, links that lead somewhere, paths that exist."""

import inspect
import json
import re
from pathlib import Path

import pytest

import surfacefit as sf
import surfacefit.sklearn

ROOT = Path(__file__).parents[1]
BUILT = ("build", "auto_gallery", "auto_workflows", "generated")  # folders of the site below docs/, which Sphinx makes
PAGES = [path for path in ROOT.glob("docs/**/*.md") if not set(path.relative_to(ROOT).parts) & set(BUILT)]
TEXTS = sorted([*ROOT.glob("*.md"), *PAGES, *ROOT.glob("benchmarks/*.md")])
SCRIPTS = sorted(ROOT.glob("docs/gallery/plot_*.py"))
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))
RECORDS = ("CHANGELOG.md", "RESULTS.md")  # these name files as they were at their time
LONGEST_LINE = 120  # characters, as in the code


def name(path):
    return str(path.relative_to(ROOT))


def prose(path):
    """(number, line) of each line outside code blocks and tables."""
    is_code = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("```"):
            is_code = not is_code
        elif not is_code and not line.startswith(("    ", "|")):
            yield number, line


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_lines_are_short(path):
    long = [number for number, line in prose(path) if len(re.sub(r"\]\([^)]*\)", "]", line)) > LONGEST_LINE]
    assert long == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_notebooks_have_short_lines_and_no_outputs(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    lines = [line.rstrip("\n") for cell in cells for line in cell["source"]]
    assert [line for line in lines if len(line) > LONGEST_LINE] == []
    assert not any(cell.get("outputs") for cell in cells)


@pytest.mark.parametrize("path", [*TEXTS, *NOTEBOOKS], ids=name)
def test_links_resolve(path):
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
    own = [target for target in targets if "://" not in target]
    assert [target for target in own if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("path", [path for path in TEXTS if path.name not in RECORDS], ids=name)
def test_paths_exist(path):
    """Files of the package (by path from it or from the root: `_data/data.py`, `_solvers/`), tests and benchmarks."""
    text = path.read_text(encoding="utf-8")
    modules = re.findall(r"`(?:surfacefit/)?(_[a-z]+/[a-z_/]*(?:\.py)?)`", text)
    others = re.findall(r"`((?:tests|benchmarks|notebooks)/[a-z_/0-9]*\.[a-z]+)`", text)
    paths = [*(ROOT / "surfacefit" / module for module in modules), *(ROOT / other for other in others)]
    assert [path for path in paths if not path.exists()] == []


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_public_names_exist(path):
    names = re.findall(r"\bsf\.([A-Za-z_]+)", path.read_text(encoding="utf-8"))
    assert [one for one in names if not hasattr(sf, one)] == []


def public_names():
    """(name, value) of all that users may call."""
    for module in (sf, surfacefit.sklearn):
        yield from ((name, getattr(module, name)) for name in module.__all__)


def test_the_reference_has_every_public_name():
    """`docs/api/index.rst` lists it, and Sphinx makes a page of each with all methods that have a docstring."""
    listed = re.findall(r"^   (\w+)$", (ROOT / "docs" / "api" / "index.rst").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted({name for name, _ in public_names()} - set(listed)) == []


@pytest.mark.parametrize(("name", "cls"), [pair for pair in public_names() if inspect.isclass(pair[1])])
def test_every_public_method_has_a_docstring(name, cls):
    """Without one it would be missing in the reference."""
    own = [base for base in cls.__mro__ if base.__module__.startswith("surfacefit")]
    members = {m: v for base in reversed(own) for m, v in vars(base).items() if not m.startswith("_")}
    is_method = {
        m: callable(v) or isinstance(v, property | classmethod | staticmethod) or hasattr(v, "attrname")
        for m, v in members.items()
    }
    assert [m for m, v in members.items() if is_method[m] and not inspect.isclass(v) and not inspect.getdoc(v)] == []


@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_scripts_of_the_gallery_are_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) < 30
