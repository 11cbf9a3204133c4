"""Files of heights: arrays, text tables and pictures; one file a format.

formats      Which file here reads and writes a path
layer        Sizes and windows of grids that have not been read yet
arrangement  Tables of numbers as heights on a grid or at points
arrays       NumPy's files
text         Text tables
pictures     Gray pictures
geotiff      GeoTIFF
fits         Images of astronomy
mrc          Volumes of electron microscopy
netcdf       NetCDF and zarr
hdf5         HDF5
esri_ascii   ESRI's ASCII grids
gwyddion     Scanning probe microscopes: .gwy and .sdf
plumed       Free energies on grids
"""
