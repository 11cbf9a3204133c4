"""How the Jacobian of a sum of Gaussians is held and applied.

engines       The engines as a user picks them, by name or as an object with settings, and the choice between them
jacobian/     How the Jacobian of a sum of Gaussians is stored and applied: pick one of these engines
overlap_sums  Sums over an even grid of products of two components and their monomials: no data needed, hence no pass
overlaps      Which components overlap, on an even grid: rows of neighbours, and the rule that sums each pair's produc
pairs         Which component is felt in which tile: pair lists from a cutoff, in a layout that compiled loops can wal
tiles         Points in tiles: blocks of a grid in any dimension, k-d leaves of equal count for scattered points
"""
