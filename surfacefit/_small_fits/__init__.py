"""Very many very small fits: a few Gaussians over a constant at the same points, each lane of an array a fit.

algebra               systems of a few equations, one a lane
gaussians             a few Gaussians over a constant in each lane
normal                cost, gradient and J^T J of all lanes
levenberg_marquardt   the steps of all lanes
surfaces              parameters of lanes to surfaces and back, and standard errors
chunks                lanes by chunks, on all cores
units                 a user's heights as lanes, and surfaces in the user's units
spots                 a start for one spot in each lane
stacks                from heights as they come to surfaces, errors and statuses: begin here
"""
