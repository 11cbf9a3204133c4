"""Which components are felt where, and which stand beside each other: lists made on the host, in NumPy.

chunk_sizes      How much work compiled code takes at once, on a CPU and on an accelerator
clusters         Components that stand side by side, along a Hilbert curve: what a preconditioner inverts together
component_lists  The lists of a plan, renewed where components move
ghosts           Images of components along periodic axes, as those that tiles list
overlaps         Which components overlap, on an even grid, and which rule sums each pair's product
pairs            Which components matter in which tile: lists of pairs above a cutoff, laid out for compiled loops
round_overlaps   The same where axes are periodic: through nearest images
small_matrices   Inverses, distances and norms of many small matrices
tiles            Points in tiles: blocks of a grid, or groups of nearby points where points are scattered
"""
