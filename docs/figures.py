"""Pictures for the gallery: figures of a script that pyplot does not know, as `result.plot()` makes them."""

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from sphinx_gallery.scrapers import figure_rst

RESOLUTION = 120  # dots an inch


def _get_sg_image_scraper():
    """The name by which sphinx-gallery asks a module for what finds pictures."""
    return scrape


def scrape(block, block_vars, gallery_conf):
    """Saves the figures among a script's variables and gives the reStructuredText that shows them."""
    paths = []
    for value in block_vars["example_globals"].values():
        is_known = isinstance(value, Figure) and getattr(value, "number", None) in plt.get_fignums()
        if isinstance(value, Figure) and not is_known and not hasattr(value, "on_page"):
            value.on_page = True  # the blocks that follow have it among their variables, too
            paths.append(next(block_vars["image_path_iterator"]))
            value.savefig(paths[-1], dpi=RESOLUTION)
    return figure_rst(paths, gallery_conf["src_dir"])
