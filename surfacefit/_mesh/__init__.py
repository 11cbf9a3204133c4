"""One fit on many devices: each has a part of the points, all have all parameters.

agreement  That the processes of a fit mean the same one: versions, options and heights are compared before any work
placement  Arrays on the devices of a mesh, and what a run of a solver asks of where it runs
planning   Plans of the tiled engine for the devices of a mesh: each its own tiles, and its own rows of J^T J
stage      A problem on the mesh, beside the same problem on one device
traffic    Numbers that the devices add up in a step, from the sizes of a problem
"""
