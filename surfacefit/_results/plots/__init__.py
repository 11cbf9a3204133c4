"""Figures of results.

curve    One dimension: data, model, background and components over the residuals
images   Grids in two dimensions, and the middle slices of grids in three: data, model and residual as images
mixture  Mixtures in one and two dimensions
panels   What the figures share: empty figures, scales, titles, images, coloured points, ellipses
path     How the number of components was chosen
points   Scattered data in two and three dimensions: data, model and residual as coloured points
result   Data, model and residual of a fit: picks the figure for its data
"""
