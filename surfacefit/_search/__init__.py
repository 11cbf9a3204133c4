"""Growth, better minima, and the number of components.

beginning         Where a fit's stepping begins: at a start as it is, or where growth and search have led
choosing          The number of components: growth until it does not pay, then the least useful away one by one, then
cross_validation  How well a number of components foretells blocks of the data that are left out of the fit, fold by f
growth            Growth: components at the highest peaks of the residual, half as many again each round, with joint r
kicks             Kicks: ways out of a minimum from which no single move leads, each to another minimum not too far aw
local_refits      Refits of a few components on the points around them, all others held: hundreds of small fits at onc
moves             Moves between minima: a component more, or one less, tried on its neighbourhood first
pruning           Components away: those first that the fit needs least, several at once where they stand apart
resets            Resets: components that a fit has left with nothing to do get the places where its residual is highe
search            Search around a minimum: relocations, accepted only where the joint refit is better
smaller           A smaller problem much like a bench's own, in single precision, on which a search makes its trials
stepping          The solver's steps from one start, or from each of several with the same compiled program, the best
usefulness        Which components of a state are of little use
workbench         What growth and search work with: the problem, states of it as NumPy arrays, and refits that give up
"""
