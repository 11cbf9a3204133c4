"""How long each kernel of a step takes at least, and what it takes: ``python -m benchmarks.cost_model``.

``--device cpu`` (default) measures the rates of this machine's core, predicts from them and from the compiled programs
how many CPU milliseconds each kernel takes at least, and times it beside. CPU seconds, of all threads, are the same on
a busy machine and on an idle one. ``--device H100`` or ``H200`` takes the rates of the data sheet and prints the
milliseconds to be expected there, with plans as they are cut for a GPU; nothing is run. What XLA fuses on a CPU is not
quite what it fuses on a GPU: the bytes are an estimate, operations and exponentials are not.

The least time is the larger one of work, bytes and launches (`benchmarks/device_limits.py`), of what the compiled
program does with its loops counted as often as they run (`benchmarks/program_cost.py`).
"""

from __future__ import annotations

import argparse
from contextlib import nullcontext

import numpy as np

from surfacefit._base.precision import precision

from . import large, maps, surfaces
from .device_limits import Limits, data_sheet, measured
from .kernels import Kernel, Planned, kernels, planned, planned_for_gpu
from .program_cost import Cost, program_cost
from .table import Table

# Points a component of the synthetic maps: those of the suite `large`.
POINTS_A_COMPONENT = 105
# Products of a step's conjugate gradients, as they were counted in fits of 10,000 components.
PRODUCTS = 20
# Numbers of components that are asked for by default on a CPU and on a GPU.
ON_CPU, ON_GPU = (10_000,), (256, 1024, 10_000, 100_000)
# Components up to which the elevation map of the package is taken.
MOST_ON_THE_MAP = 1024


def case(n_components: int, dtype: str) -> Planned:
    """The elevation map from an even start, or known components from a start off by 0.15 widths."""
    if n_components <= MOST_ON_THE_MAP:
        heights = large.jacksboro()
        return planned(heights, maps.even_start(heights, n_components), dtype)
    size = side(n_components)
    truth = surfaces.random_components(size, n_components)
    return planned(surfaces.rendered(truth, size), surfaces.perturbed(truth, 0.15), dtype)


def side(n_components: int) -> int:
    """Points along a side of a synthetic map: 1024 for 10,000 components, 3,232 for 100,000."""
    return 32 * round(np.sqrt(n_components * POINTS_A_COMPONENT) / 32)


def predicted(n_components: int, dtype: str, limits: dict[str, Limits], to_run: bool) -> list[str]:
    """The table of a case: what each kernel does, its least milliseconds, and where it is run those that it took.

    ``limits`` by precision: blocks are in single precision whatever that of the fit.
    """
    ready = case(n_components, dtype)
    axes = ready.prepared.data.axes
    shape = " x ".join(str(len(axis)) for axis in axes or ())
    lines = [f"K = {n_components} on {shape}, {dtype}, {limits[dtype].name}"]
    lines += [f"{kind}: {told(limits[kind])}" for kind in limits]
    print("\n".join(lines), flush=True)
    rows, step, spent = table("CPU ms" if to_run else None), 0.0, 0.0
    with precision(np.dtype(dtype)):
        for kernel in kernels(ready, to_run):
            cost, times = program_cost(kernel.function, *kernel.arguments), PRODUCTS if "CG" in kernel.name else 1
            took = kernel.timed()[0] if to_run else None
            rows.row(cells(kernel, cost, limits[kernel.dtype], took))
            step, spent = step + times * limits[kernel.dtype].seconds(cost), spent + times * (took or 0.0)
    host = f"the plan takes {ready.plan_seconds:.2f} CPU s on the host where all lists are made anew"
    total = f"a step of {PRODUCTS} products at least {1e3 * step:.3g} ms" + (
        f", took {1e3 * spent:.0f}" if to_run else ""
    )
    print(f"{total}; {host}", flush=True)
    return [*lines, "", *rows.lines, "", f"{total}; {host}"]


def told(limits: Limits) -> str:
    """The rates in words."""
    return (
        f"{limits.flops / 1e9:.4g} Gflop/s, an exponential {1e9 / limits.exponentials:.3g} ns,"
        f" {limits.loop_bytes / 1e9:.4g} GB/s in loops, {limits.other_bytes / 1e9:.4g} GB/s outside,"
        f" a launch {1e6 * limits.launch:.2g} us"
    )


def table(clock: str | None) -> Table:
    """The empty table, with what a ``clock`` says beside the limits where kernels are run."""
    columns = {"kernel": 16, "Mflop": 9, "M exp": 7, "MB": 8, "launches": 8, "bound by": 12, "least ms": 9}
    return Table({**columns, clock: 8, "ratio": 6} if clock else columns)


def cells(kernel: Kernel, cost: Cost, limits: Limits, took: float | None) -> list[str]:
    """The row of a kernel."""
    least = limits.seconds(cost)
    found = [
        kernel.name,
        f"{cost.flops / 1e6:.0f}",
        f"{cost.transcendentals / 1e6:.1f}",
        f"{(cost.loop_bytes + cost.other_bytes) / 1e6:.0f}",
        f"{cost.launches:.0f}",
        limits.bound(cost),
        f"{1e3 * least:.3g}",
    ]
    return found if took is None else [*found, f"{1e3 * took:.1f}", f"{took / least:.1f}"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost_model", description="Kernels beside their limits.")
    parser.add_argument("--device", choices=["cpu", "H100", "H200"], default="cpu", help="whose rates; default cpu")
    parser.add_argument("--components", nargs="*", type=int, help="numbers of components")
    parser.add_argument("--dtype", nargs="*", choices=["float32", "float64"], help="default float64, on a GPU both")
    options = parser.parse_args()
    to_run = options.device == "cpu"
    for dtype in options.dtype or (("float64",) if to_run else ("float32", "float64")):
        kinds = dict.fromkeys((dtype, "float32"))
        limits = {kind: measured(kind) if to_run else data_sheet(options.device, kind) for kind in kinds}
        for n_components in options.components or (ON_CPU if to_run else ON_GPU):
            with nullcontext() if to_run else planned_for_gpu():
                predicted(n_components, dtype, limits, to_run)


if __name__ == "__main__":
    main()
