"""Sources behind a beam: how often deconvolved sizes and upper limits hold, and PyBDSF's table of 48 beside ours.

``python -m benchmarks.beams`` simulates 1,000 sources of each own width behind a round beam of 0.8 pixels, as means
over pixels, with noise of 1 % and of 10 % of the flux, and prints how many deconvolved widths are within one error of
the truth, and how many true widths are below their upper limits. It then fits the radio image of PyBDSF's test data
from PyBDSF's catalogue behind its beam, and prints how far both own sizes agree, if the image is at hand. Its header
does not come with it: the beam is taken for the median shape of the smaller half of the well measured Gaussians in the
catalogue. ``--count 100`` takes fewer sources.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np

import surfacefit as sf

from .maps import DATA_FOLDER
from .pixels import Stars

# Pixels: width of the beam, and pixels a side of the cut-outs.
BEAM_WIDTH, CUT_OUT = 0.8, 17
# Own widths in pixels by the noise of a flux.
OWN_WIDTHS = {0.01: (0.3, 1.0, 2.0), 0.1: (0.1, 0.3, 0.7, 1.0)}
# Jy a beam: noise of the radio image, and times it from which a Gaussian of the catalogue is well measured.
RADIO_NOISE, WELL_MEASURED = 5.5e-4, 10


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.beams", description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="sources of an own width")
    count = parser.parse_args().count
    for noise, widths in OWN_WIDTHS.items():
        for width in widths:
            print(line(width, noise, count), flush=True)
    if DATA_FOLDER.is_dir():
        for text in radio():
            print(text, flush=True)


def line(width: float, noise: float, count: int) -> str:
    """What sources of one own width give at one noise."""
    stars = Stars(float(np.hypot(width, BEAM_WIDTH)), count, CUT_OUT, noise)
    sizes = [stars.fit(number, sampling="integrated", beam=BEAM_WIDTH).deconvolved for number in range(count)]
    own, errors, limits = (
        np.array([getattr(one, name)[0, 0] for one in sizes])
        for name in ("principal_widths", "width_errors", "upper_limits")
    )
    resolved, variances = np.array([one.resolved[0, 0] for one in sizes]), own**2
    spread = np.array([one.covariance_errors[0, 0, 0] for one in sizes])
    of_variances = np.abs(variances - width**2) < spread
    within = f"{np.mean((np.abs(own - width) < errors)[resolved]):.3f}" if resolved.any() else "-"
    below = f"{np.mean((limits > width)[~resolved]):.3f}" if not resolved.all() else "-"
    return (
        f"beams, noise {100 * noise:2.0f} %, own width {width:.1f} behind {BEAM_WIDTH}: resolved {resolved.mean():.3f},"
        f" their widths within one error {within}; variances of all {of_variances.mean():.3f}; below the upper limit"
        f" {np.mean(limits > width):.3f}, of those not resolved {below}, median limit {np.median(limits):.2f}"
    )


def radio() -> Iterator[str]:
    """PyBDSF's 48 Gaussians and ours, both without the beam."""
    with np.load(DATA_FOLDER / "radio_pybdsf_129.npz") as members:
        heights = members["z"].astype(float)
    theirs = catalogue()
    beam = beam_of(theirs)
    widths = np.sqrt(np.linalg.eigvalsh(beam)[::-1])
    yield f"beams, radio image: beam taken for {widths[0]:.3f} x {widths[1]:.3f} pixels (deviations)"
    result = sf.fit(heights, theirs.n_components, beam=beam, init=theirs, background=None, progress=False)
    yield f"beams, radio image: RMSE {result.rmse:.3e} after {result.steps} steps, {result.status.name}"
    order = np.argmin(np.linalg.norm(result.surface.centers[:, None] - theirs.centers, axis=-1), axis=1)
    ours, moved = result.deconvolved, np.linalg.norm(result.surface.centers - theirs.centers[order], axis=1)
    own = np.maximum(np.linalg.eigvalsh(theirs.covariances[order] - beam)[:, ::-1], 0)
    both = ours.resolved & (own > 0) & (moved < 1)[:, None]
    far = np.abs(ours.principal_widths - np.sqrt(own))[both]
    yield (
        f"beams, radio image: resolved along both axes {int(ours.resolved.all(axis=1).sum())}, along none"
        f" {int(ours.unresolved.sum())}; of {both.sum()} own widths that both have, differences of {np.median(far):.3f}"
        f" pixels in the median, {np.median(far / ours.width_errors[both]):.2f} of our errors, within one"
        f" {np.mean(far < ours.width_errors[both]):.2f}"
    )
    below = ~ours.resolved & (moved < 1)[:, None]
    held = int((ours.upper_limits > np.sqrt(own))[below].sum())
    yield f"beams, radio image: of {below.sum()} own widths not resolved here theirs are below our limit in {held}"


def catalogue() -> sf.GaussianSurface:
    """PyBDSF's Gaussians, rows first."""
    rows = np.genfromtxt(DATA_FOLDER / "radio_pybdsf_gaussians48.csv", delimiter=",", names=True)
    shapes = np.array([[[one["Cyy"], one["Cxy"]], [one["Cxy"], one["Cxx"]]] for one in rows])
    return sf.GaussianSurface(rows["peak"], np.stack([rows["y"], rows["x"]], axis=1), shapes)


def beam_of(surface: sf.GaussianSurface) -> np.ndarray:
    """The median covariance of the smaller half of those Gaussians that are well measured."""
    well = surface.covariances[surface.amplitudes > WELL_MEASURED * RADIO_NOISE]
    small = well[np.argsort(np.linalg.det(well))][: len(well) // 2]
    return np.asarray(np.median(small, axis=0))


if __name__ == "__main__":
    main()
