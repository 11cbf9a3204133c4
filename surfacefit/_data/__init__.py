"""A user's arrays: read, checked, parted, averaged.

blocks_left_out  Data parted into blocks, which are left out in turns to see how well a fit foretells what it has not
coarsening       Averages over blocks of a grid: a smaller map much like the whole, on which much can be tried in litt
data             The only door in: a user's arrays to checked `SurfaceData`
examples         Example maps that come with the package, by name
noise            Noise that is correlated between neighbouring points of a grid, as the residuals of a fit show it
read             Files of heights for the command line: arrays, text tables and pictures, each read as it is meant or
windows          Small samples of the points around some components: even in density, and found at once however many p
"""
