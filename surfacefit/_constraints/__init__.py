"""What parameters may be, and what is known of them beforehand.

bounds         What a user may ask of parameters: limits, and some that are held
box            Limits and fixed parameters as a box in the parameters of a fit
prior          A prior on components, for fits by maximum a posteriori: it keeps widths from collapsing and amplitudes
singularities  Three remedies against covariances that collapse: a floor, a prior, and a new place for the component
walls          Directions that a step must leave alone, or follow to a limit that is near and no further
width_limits   Limits of the principal widths of full covariances, and of their ratio
width_walls    Which limits of a component's widths are walls for the next step, where several may meet and widths may
"""
