"""Growth, better minima, and the number of components.

initialization    The parameters that a solver starts from: a start as it is, or what growth and search make of it
context           What growth and search work with: a problem, views of its states, and the limits of the fit
states            States as NumPy arrays, and their way to the parameters on the device and back
residual_views    What the residuals of a state show: costs, weights, and the peaks that it leaves
refits            Joint refits of all components, given up early where the cost falls too slowly
growth            Growth: components at the highest peaks of the residual, half as many again each round
search            Search: relocations of components, accepted only where the joint refit is better
surrogate         A smaller problem in single precision, on which the search makes its trials
moves             Moves: one component more, one less, or one relocated, each tried on its neighbourhood first
local_refits      Refits of a few components on the points around them, all others held: hundreds of small fits at once
perturbations     Ways to leave a minimum that no single move improves
pruning           Removal of the components that the fit needs least
choosing          The number of components: growth until it does not pay, removal, then up and down again
cross_validation  How well a number of components predicts blocks of the data that are left out of the fit
"""
