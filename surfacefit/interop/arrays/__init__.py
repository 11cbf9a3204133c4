"""Arrays of other libraries as heights, and values back as the same kind of array; one file a library.

opening     Which file opens an object, and the record that each gives
of_xarray   DataArrays, with dimensions, coordinates and attributes
"""
