"""``import surfacefit.xarray`` gives every `xarray.DataArray` an attribute ``surfacefit`` with fits of its values."""

from .interop.arrays.accessor import Accessor

__all__ = ["Accessor"]
