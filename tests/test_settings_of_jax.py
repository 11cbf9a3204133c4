"""Heights of every type, and strict settings of JAX that a user may have."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import surfacefit as sf

Y, X = np.mgrid[:12, :15]
HILL = 1 + 40 * np.exp(-0.5 * ((Y - 5) ** 2 + (X - 7) ** 2) / 6)
# heights by the type that they come in, and the precision that they are fitted in
TYPES = {
    "float32": (HILL.astype(np.float32), "float32"),
    "float64": (HILL, "float64"),
    "float16": (HILL.astype(np.float16), "float32"),
    "bfloat16": (np.asarray(jnp.asarray(HILL, jnp.bfloat16)), "float32"),
    "bfloat16 of JAX": (jnp.asarray(HILL, jnp.bfloat16), "float32"),
    "big-endian float32, as in FITS": (HILL.astype(">f4"), "float32"),
    "big-endian float64": (HILL.astype(">f8"), "float64"),
    "big-endian int16, as in FITS": (HILL.round().astype(">i2"), "float64"),
    "long double": (HILL.astype(np.longdouble), "float64"),
    "uint8": (HILL.round().astype(np.uint8), "float64"),
    "int64": (HILL.round().astype(np.int64), "float64"),
    "boolean": (HILL > 20, "float64"),
}


@pytest.mark.parametrize("case", TYPES)
def test_types_are_kept_or_converted_as_documented(case):
    heights, dtype = TYPES[case]
    result = sf.fit(heights, 1, search=0, init="peaks")
    assert result.settings.dtype == dtype
    assert result.data.heights.dtype == np.dtype(dtype)
    assert result.data.heights.dtype.isnative
    np.testing.assert_array_equal(result.data.heights, np.asarray(heights).astype(dtype))
    assert result.surface.amplitudes.dtype == np.float64
    np.testing.assert_allclose(result.surface.centers, [[5, 7]], atol=0.02)


def test_data_are_copied():
    heights = HILL.copy()
    result = sf.fit(heights, 1, search=0, init="peaks")
    heights[:] = 0
    np.testing.assert_array_equal(result.data.heights, HILL)


NOISY = HILL + 0.1 * np.random.default_rng(0).normal(size=HILL.shape)
POINTS = np.random.default_rng(0).normal(size=(60, 2))
FITS = {
    "dense": lambda: sf.fit(NOISY, 2, search=0, background="plane"),
    "searched": lambda: sf.fit(NOISY, 3, search=0.5),
    "chosen": lambda: sf.fit(NOISY, "auto", search=0),
    "tiled": lambda: sf.fit(NOISY, 2, search=0, engine="tiled"),
    "tied": lambda: sf.fit(NOISY, 2, search=0, covariance_type="tied", loss="huber"),
    "limited": lambda: sf.fit(NOISY, 2, search=0, bounds=sf.Bounds(widths=(1, 9), aspect=2.0)),
    "prior": lambda: sf.fit(NOISY, 2, search=0, sigma=0.1, absolute_sigma=True, prior=sf.SurfacePrior(scale=9.0)),
    "gaps": lambda: sf.fit(np.where(X == 3, np.nan, NOISY), 2, search=0, engine="tiled", sigma=1 + 0.1 * X),
    "errors": lambda: sf.fit(NOISY, 1, search=0).uncertainty().matrix,
    "honest errors": lambda: sf.fit(NOISY, 1, search=0).uncertainty("sandwich").band(POINTS),
    "a function of a fit": lambda: sf.fit(NOISY, 1, search=0).uncertainty().of(lambda surface: surface.volume),
    "mixture": lambda: sf.fit_mixture(POINTS, 2).predict(POINTS),
    "weighted mixture": lambda: sf.fit_mixture(POINTS, 2, weights=np.arange(60.0), covariance_type="tied"),
}


@pytest.mark.parametrize("name", FITS)
def test_a_user_may_forbid_that_ranks_are_promoted(name):
    """In his own code: fits have their own setting, in every thread."""
    with jax.numpy_rank_promotion("raise"):
        FITS[name]()
