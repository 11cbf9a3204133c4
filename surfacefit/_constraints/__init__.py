"""What parameters may be, and what is known of them beforehand.

bounds                  What a user may ask of parameters: limits, and some that are fixed
shape                   One shape that all components have
box                     Limits and fixed parameters as a box in the parameters of a fit
containment             Centres over the data and widths up to their extent, so that no component runs away
periods                 The option ``periods``, and what cannot be meant beside it
prior                   A prior on a surface, for fits by maximum a posteriori, and its checks
penalty                 A prior as rows of the least-squares problem
mixture_regularization  Remedies against collapsing covariances of a mixture: a least width, a prior, and a reset
active_constraints      Directions that a step must leave alone, or follow only up to a nearby limit
width_limits            Limits of the principal widths of full covariances, and of their ratio
active_width_limits     Which limits of a component's widths are active in the next step
convolved                Covariances seen through a beam, which none is narrower than
"""
