"""Sphinx builds the site from this folder: `python -m sphinx -W --keep-going -q docs docs/build`.

Scripts of the gallery that need data from elsewhere look for them in `$SURFACEFIT_DATA`, else in `../shared/data`
beside the repository. Where a file is missing, its script is shown without being run.
"""

import os
import re
import sys
from pathlib import Path

import surfacefit

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
DATA = Path(os.environ.setdefault("SURFACEFIT_DATA", str(HERE.parents[1] / "shared" / "data")))
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Most of the time is compiling: programs are optimized less, and each is kept for the pages that follow.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(HERE / "build" / "compiled"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
os.environ["TQDM_DISABLE"] = "1"  # a bar that moves is no part of a page


def can_run(script):
    """Whether all files that a script of the gallery reads are there."""
    return all((DATA / name).exists() for name in re.findall(r'DATA / "([^"]+)"', script.read_text(encoding="utf-8")))


scripts = sorted([*(HERE / "gallery").glob("plot_*.py"), *(HERE / "workflows").glob("plot_*.py")])
missing = [script.name for script in scripts if not can_run(script)]
if missing:
    print(f"Shown without being run, as their data are missing: {', '.join(missing)}")

project = "surfacefit"
author = "surfacefit developers"
project_copyright = "surfacefit developers"
version = release = surfacefit.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "command_line",
    "docstrings",
    "links",
    "mathml",
    "numpydoc",
    "myst_nb",
    "sphinx_gallery.gen_gallery",
    "sphinx_design",
    "sphinx_copybutton",
]
exclude_patterns = ["build", "gallery", "workflows", "jupyter_execute", "**.ipynb_checkpoints"]
default_role = "py:obj"

autosummary_generate = True
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
templates_path = ["_templates"]

myst_enable_extensions = ["colon_fence", "dollarmath", "amsmath"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120  # seconds a cell
nb_merge_streams = True
nb_ipywidgets_js = {}  # nothing from elsewhere

sphinx_gallery_conf = {
    "examples_dirs": ["gallery", "workflows"],
    "gallery_dirs": ["auto_gallery", "auto_workflows"],
    "filename_pattern": "|".join(re.escape(script.name) for script in scripts if script.name not in missing) or "^$",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "notebook_extensions": set(),  # MyST would read notebooks as pages
    "within_subsection_order": "FileNameSortKey",
    "write_computation_times": False,
    "show_signature": False,
    "plot_gallery": "True",
    "image_scrapers": ("figures", "matplotlib"),
    "copyfile_regex": r".*\.rst",
}
html_math_renderer = "mathml"
html_theme = "pydata_sphinx_theme"
html_title = "surfacefit"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "show_prev_next": False,
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
    "secondary_sidebar_items": ["page-toc"],
}
