"""Maps that stay on disk: what of other libraries can be read window by window. Pick one by a type or a file's ending.

of_h5py      Data sets of HDF5
of_numpy     Memory maps, and arrays
of_rasterio  Rasters, GeoTIFF among them
of_zarr      Arrays of zarr
opening      Which file here takes an object or a path
streaming    Which heights stay on disk, and are fitted window by window
"""
