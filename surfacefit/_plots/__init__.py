"""Figures of results, one kind a file.

result       The pictures of a fit by their kind
curve        One dimension: data, model, background and components over the residuals
images       Grids in two dimensions, and the middle slices of grids in three: data, model and residual as images
points       Scattered data in two and three dimensions: data, model and residual as coloured points
perspective  Heights over two dimensions in perspective
components   What each component contributes
error        The standard error of the model at every place
path         How the number of components was chosen, or how the cost fell
surface      A surface without data
mixture      Mixtures in one and two dimensions
residuals    Whether residuals look like noise
influence    Derivatives by the heights, or leverages
panels       What the figures share: empty figures, scales, titles, names, ticks, coloured images, ellipses
canvas       Where an image of two axes stands
"""
