"""Arrays of other libraries as heights, and values back as the same kind of array; one file a library.

accessor    Fits as an attribute of every DataArray
opening     Which file opens an object, and the record that each gives
of_xarray   DataArrays, with dimensions, coordinates and attributes
of_pandas   Frames and Series of pandas
of_polars   Frames and Series of polars
of_astropy  Quantities and NDData: units, masks, uncertainties, world coordinates
of_torch    Tensors
of_dask     Arrays of dask
of_surfacefit  Maps that were read from files
points_table  Which columns of a table are coordinates, and which heights
"""
