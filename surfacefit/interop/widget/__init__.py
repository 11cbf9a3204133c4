"""A fit in a notebook, to look at and to touch: data, model, residual, components.

view          `surfacefit.view`: the widget of a fit or of heights
surface_view  The widget: what the browser is shown, and what is done there
panels        What a widget shows of data, by their kind: the contract and the choice
maps          Grids in two dimensions, and slices of grids in three
scattered     Scattered points in two dimensions
curve         One dimension
pixels        Samples of a grid as no more pixels than a screen has
edits         Components added, moved and removed by hand
rows          Components as rows of a table
fitters       Fits with the options of a user, or as another fit was made
frames        The best surface so far, ten times a second at most
still         A picture for where there is no JavaScript
"""
