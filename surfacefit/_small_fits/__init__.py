"""Very many very small fits: a few Gaussians over a constant at the same points, each lane of an array a fit.

algebra               systems of a few equations, one a lane
gaussians             a few Gaussians over a constant in each lane
normal                cost, gradient and J^T J of all lanes
levenberg_marquardt   the steps of all lanes
surfaces              parameters of lanes to surfaces and back, and standard errors
chunks                lanes by chunks, on all cores: begin here
"""
