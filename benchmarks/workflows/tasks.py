"""The tasks: which script of the documentation, which peer, which files both read, and how they are judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import quality

# Scripts of the documentation, and those of the peers.
OWN, THEIRS = Path(__file__).resolve().parents[2] / "docs" / "workflows", Path(__file__).resolve().parent


@dataclass(frozen=True)
class Peer:
    """Another tool: its script, the packages it needs, and what it leaves to its user or cannot do."""

    name: str
    script: str
    packages: tuple[str, ...]
    lacks: str


@dataclass(frozen=True)
class Task:
    """A task: ``pieces`` of the script between its marks, by their numbers, None for all; ``inputs``, the files that it
    makes for the peer.

    ``without`` says why there is no peer.
    """

    name: str
    script: str
    judge: Callable[[Path], str]
    peer: Peer | None = None
    without: str = ""
    inputs: tuple[str, ...] = ()
    pieces: tuple[int, ...] | None = None
    compare: Callable[[Path, Path], str] | None = None

    def own(self, pieces: list[str]) -> list[str]:
        """Those of all pieces of the script that are the task."""
        return pieces if self.pieces is None else [pieces[n] for n in self.pieces]


TASKS = (
    Task(
        "GeoTIFF to volumes, model and error map",
        "plot_1_terrain.py",
        quality.terrain,
        Peer(
            "astropy, photutils",
            "terrain_astropy.py",
            ("astropy", "photutils", "rasterio", "pandas"),
            "volumes, their errors and the error map are the user's arithmetic on `param_cov`, which takes residuals"
            " for uncorrelated; starts, limits and the georeference are the user's too; the start is the best of nine"
            " that were tried",
        ),
        inputs=("dem.tif",),
    ),
    Task(
        "FITS with rms map and beam to a catalogue",
        "plot_2_radio.py",
        quality.radio,
        Peer(
            "PyBDSF",
            "radio_pybdsf.py",
            ("bdsf",),
            "the list is PyBDSF's own, of the whole image with free widths; a catalogue in FITS, as `write_catalog` has"
            " no ECSV; a given rms map is not used where `rms_box` is above a quarter of the image",
        ),
        inputs=("field.fits", "rms.fits"),
    ),
    Task(
        "movie to molecules",
        "plot_3_localisation_microscopy.py",
        quality.microscopy,
        Peer(
            "picasso",
            "microscopy_picasso.py",
            ("picassosr",),
            "the list is picasso's own, by maximum likelihood; one Gaussian a spot",
        ),
    ),
    Task(
        "500 waveforms to a table",
        "plot_4_waveforms.py",
        quality.waveforms,
        Peer("lmfit", "waveforms_lmfit.py", ("lmfit", "pandas"), "no call for many fits; starts are the user's"),
        compare=quality.compared,
    ),
    Task(
        "MRC to pseudo-atoms",
        "plot_5_volume_and_free_energy.py",
        quality.volume,
        Peer(
            "scikit-learn",
            "volume_mixture.py",
            ("scikit-learn", "mrcfile"),
            "stands for gmconvert, which is no package of PyPI, and does what IMP's `create_gmm.py` does by default; a"
            " mixture takes points without weights (scikit-learn#15647), so that negative density is lost; no errors",
        ),
        inputs=("emd_3197.mrc",),
        pieces=(0,),
        compare=quality.negative,
    ),
    Task(
        "free energy to HILLS",
        "plot_5_volume_and_free_energy.py",
        quality.free_energy,
        without="none found: PLUMED's sum_hills goes from hills to a surface",
        pieces=(1,),
    ),
)
