"""The summary of a mixture: facts in a few lines, then the components of largest weight."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._base.layout import Summary, counted, left_out, number, place_columns, verdict

if TYPE_CHECKING:
    from .result import MixtureResult


def summary(mixture: MixtureResult, n_rows: int = 10) -> Summary:
    """Facts, then the ``n_rows`` components of largest weight."""
    title = f"surfacefit: mixture of {counted(mixture.n_components, 'Gaussian')} in {mixture.n_dim}-D"
    return Summary(
        title, _facts(mixture), *_components(mixture, n_rows), left_out(mixture.n_components - n_rows, "lighter")
    )


def _facts(mixture: MixtureResult) -> list[tuple[str, str]]:
    return [
        verdict(mixture.converged, mixture.message),
        ("log-likelihood", number(mixture.log_likelihood)),
        ("AIC, BIC", f"{number(mixture.aic)}, {number(mixture.bic)}"),
        ("total weight", number(mixture.total_weight)),
        ("parameters", f"{mixture.n_parameters} ({mixture.covariance_type} covariances)"),
        ("steps", str(mixture.steps)),
    ]


def _components(mixture: MixtureResult, n_rows: int) -> tuple[list[str], list[list[str]]]:
    order = np.argsort(-mixture.weights, kind="stable")[:n_rows]
    axes = range(mixture.n_dim)
    header = ["", "weight", *(f"mean{i}" for i in axes), *(f"width{i}" for i in axes)]
    surface = mixture.surface(1.0)
    columns = [
        [str(k) for k in order],
        [number(weight) for weight in mixture.weights[order]],
        *place_columns(mixture.means[order], mixture.covariances[order], surface.principal_widths[order]),
    ]
    return header, [list(row) for row in zip(*columns, strict=True)]
