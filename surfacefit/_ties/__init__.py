"""Numbers of a fit that follow from others: fewer free numbers, and the map from these to all parameters.

formulas          What a user writes: names of numbers and formulas of them, never run as Python
places            Where the numbers of a name stand in the parameter vector
rules             The option `tie` as rules, each of which sets some numbers, in an order to follow
widths_and_turns  Covariances by principal widths and rotations, and back
numbers           All numbers of a surface while rules are followed, in the units of the fit and in the user's
checks            The values that rules give at a start, checked before any work
room              Whether these have room: widths above `min_width`, centres over the data
kept              Which rules a fit has not kept, or has driven to where a number has to be positive
tied_map          The free numbers theta (T,) to the parameters (P,), its derivative, and back
limits            Limits of the free numbers
tied_jacobian     The Jacobian by the free numbers, J M
"""
