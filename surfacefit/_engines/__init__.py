"""How the Jacobian of a sum of Gaussians is held and applied.

engines          The engines as a user picks them, by name or as an object with settings, and the choice between them
jacobian/        How the Jacobian of a sum of Gaussians is stored and applied: pick one of these engines
overlap_sums     Sums of products of two components over an even grid, without a pass over the points
pixel_nodes     Heights as means over pixels: a weighted sum at nodes within each pixel
step_costs       What a joint step costs with either engine, counted from sizes
"""
