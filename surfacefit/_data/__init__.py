"""A user's arrays: read, checked, parted, averaged.

blocks_left_out  Data in blocks that are left out in turns, to see how well a fit predicts what it has not seen
coarsening       Averages over blocks of a grid: a smaller map on which moves can be tried in little time
data             Input validation: a user's arrays as checked `SurfaceData`
examples         Example maps that come with the package, by name
noise            Noise that is correlated between points of a grid, estimated from the residuals of a fit
read             Files of heights for the command line: arrays, text tables and pictures
readers/         How files of each kind are read, and how a table becomes a grid or points
windows          Small samples of the points around some components, found fast however many points there are
"""
