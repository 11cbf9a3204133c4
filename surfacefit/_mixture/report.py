"""The summary of a mixture: facts in a few lines, then the components of largest weight."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._base.layout import COARSEST_POSITION, Summary, counted, number, positions

if TYPE_CHECKING:
    from .result import MixtureResult


def summary(mixture: MixtureResult, n_rows: int = 10) -> Summary:
    """Facts, then the ``n_rows`` components of largest weight."""
    hidden = mixture.n_components - n_rows
    rest = f"... and {counted(hidden, 'lighter component')}" if hidden > 0 else ""
    title = f"surfacefit: mixture of {counted(mixture.n_components, 'Gaussian')} in {mixture.n_dim}-D"
    return Summary(title, _facts(mixture), *_components(mixture, n_rows), rest)


def _facts(mixture: MixtureResult) -> list[tuple[str, str]]:
    return [
        ("status", f"{'ok' if mixture.converged else 'NOT CONVERGED'}: {mixture.message}"),
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
    axis_widths = np.sqrt(np.diagonal(np.asarray(surface.covariances), axis1=1, axis2=2))[order]
    columns = [
        [str(k) for k in order],
        [number(weight) for weight in mixture.weights[order]],
        *(positions(mixture.means[order, i], COARSEST_POSITION * axis_widths[:, i]) for i in axes),
        *([number(width) for width in surface.principal_widths[order, i]] for i in axes),
    ]
    return header, [list(row) for row in zip(*columns, strict=True)]
