"""The surface and its free numbers.

amplitudes   How an amplitude is written as a free number: above zero, or of either sign
background   Backgrounds b(x) under the components: none, a constant, a plane, or a function of the user's
block_layout Where each number stands in the parameter vector: blocks of the components, then a border
covariance/  Covariance types: how one component's covariance is written in free numbers
gaussian     Formulas of a Gaussian: its profile, its integrals, and how far two lie apart
parameters   Free numbers to components and back, and the chain rule between them
scaling      Units inside a fit: points and heights of order one, whatever units come in
step_lengths How far a step moves each component, in its own widths, and how far it may carry it
surface      The model: a sum of scaled Gaussians over a background, in physical units
units        Surfaces in the units of a fit, and back in the user's
"""
