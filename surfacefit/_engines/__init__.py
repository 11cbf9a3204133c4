"""How the Jacobian of a sum of Gaussians is held and applied.

chunk_sizes      How much work compiled code takes at once, on a CPU and on an accelerator
component_lists  The lists of a plan, renewed where components move
engines          The engines as a user picks them, by name or as an object with settings, and the choice between them
jacobian/        How the Jacobian of a sum of Gaussians is stored and applied: pick one of these engines
overlap_sums     Sums of products of two components over an even grid, without a pass over the points
overlaps         Which components overlap, on an even grid, and which rule sums each pair's product
pairs            Which components matter in which tile: lists of pairs above a cutoff, laid out for compiled loops
tiles            Points in tiles: blocks of a grid, or groups of nearby points where points are scattered
"""
