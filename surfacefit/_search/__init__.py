"""Growth, better minima, and the number of components.

initialization    The parameters that a solver starts from: a start as it is, or what growth and search make of it
context           The problem that growth and search work on, and joint refits that give up early
growth            Growth: components at the highest peaks of the residual, half as many again each round
search            Search: relocations of components, accepted only where the joint refit is better
surrogate         A smaller problem much like the whole one, in single precision, on which a search makes its trials
moves             Moves: one component more, one less, or relocated, tried on its neighbourhood first
local_refits      Refits of a few components on the points around them, all others held: hundreds of small fits at once
perturbations     Perturbations: ways to leave a minimum that no single move improves
pruning           Removal of the components that the fit needs least
choosing          The number of components: growth until it does not pay, then pruning, then both once more
cross_validation  The error in blocks of the data that are left out of the fit, fold by fold
"""
