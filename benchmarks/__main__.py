"""Runs one benchmark suite: ``python -m benchmarks small``."""

from __future__ import annotations

import argparse
from importlib import import_module

from . import results
from .options import Options
from .peers import PEERS

# Suites by name, as --help lists them.
SUITES = {
    "small": "one map, K = 8 and 32, from the same start: surfacefit beside scipy, lmfit, astropy and optimistix",
    "solvers": "Levenberg-Marquardt and Powell's dogleg on real maps, K = 8 and 32, two starts, no search; minutes",
    "defaults": "a first fit in a fresh process; default fits warm, cold, on one core, beside busy loops; half an hour",
    "large": "256 to 100,000 components: time, memory, scaling; beside Adam and scipy; about half an hour",
    "quality": "how low a fit gets without a guess: volcano, Jacksboro, radio image, lidar, all maps"
    " beside cosines; about half an hour",
    "statistics": "errors, losses and bounds: NIST, lidar, scipy, coverage of intervals, outliers,"
    " 10,000 components; about half an hour",
    "many": "frames of 40 and 5 Gaussians beside a loop of fits; 200,000 cut-outs of single spots beside scipy:"
    " fits a second; ten minutes",
    "many_maps": "a thousand maps of random shapes in one process: memory, mappings, seconds; half an hour",
    "cube": "128 x 128 spectra with known maps: starts from neighbours beside independent ones; half an hour",
    "lidar_many": "500 lidar waveforms with their published numbers of components in one call, beside a loop; minutes",
    "choosing": "the number of components: lidar pulses, a radio map, terrain, frames of noise; about half an hour",
    "derivatives": "derivatives through a fit beside refits, and the cost of a gradient at K = 1,024; ten minutes",
    "workflows": "five tasks from a file to a result, here and with the tool of each field: lines, seconds, quality;"
    " ten minutes",
    "kodak": "photographs at K = 800 to 9,000 beside the published recipe of image splatting: PSNR, CPU seconds; hours",
    "devices": "work and bytes of a step on 1 to 8 devices, counted in the compiled programs beside what is predicted;"
    " ten minutes",
    "certified": "NIST Gauss1 and Gauss2, published lidar fits, a cryo-EM volume: how near each known optimum",
}


def main() -> None:
    arguments = _parser().parse_args()
    suite = import_module(f"benchmarks.{arguments.suite}")
    measured_on = results.environment()
    section = suite.run(Options(quick=arguments.quick, peers=tuple(arguments.peers)))
    if arguments.write:
        results.write(arguments.suite, measured_on, section)


def _parser() -> argparse.ArgumentParser:
    listing = "\n".join(f"  {name:10} {what}" for name, what in SUITES.items())
    peers = "\n".join(f"  {name:16} {what}" for name, what in PEERS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measures surfacefit and prints a table.",
        epilog=f"suites:\n{listing}\n\npeers:\n{peers}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("suite", choices=SUITES, metavar="suite", help="which suite to run; they are listed below")
    parser.add_argument("--quick", action="store_true", help="only the smallest case of the suite")
    parser.add_argument(
        "--peers", nargs="*", choices=PEERS, default=list(PEERS), metavar="peer", help="only these peers; default all"
    )
    parser.add_argument("--write", action="store_true", help="replace this suite's section of benchmarks/RESULTS.md")
    return parser


if __name__ == "__main__":
    main()
