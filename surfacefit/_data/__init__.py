"""A user's arrays: read, checked, averaged, and split for cross-validation.

blocks_left_out  Splits of the data by blocks, which are left out in turn, for cross-validation
coarsening       Averages over blocks of a grid: a smaller map on which a fit takes less time
coverage         Where the data are, as a component sees it: the share of its volume over them
data             Input validation: a user's arrays as checked `SurfaceData`
effective_size   How many independent points residuals are worth, where neighbours are correlated
examples         Example maps that come with the package, by name
frames           Whether a volume looks like a stack of frames
labels           Names, units and the way back to what heights came as
map              Heights with their coordinates, units and georeference, as a record
noise            Noise that is correlated between points of a grid, estimated from the residuals of a fit
parts            A map that several processes have read, each its own rows, joined in all of them
spacing          How far apart scattered points are along each axis
unread_map       A map that stays on disk, and is read window by window
windows          Small samples of the points around some components, found fast however many points there are
"""
