"""What a solver sees, and its way to the device.

evaluation    Heights of many components at many points: each component only where it is not zero to rounding
planning      Plans for the tiled engine, made on the host: which lists, at which capacity, for which components
prepare       From checked data and a model to a problem on the device, with the units between them
problem       What a solver sees: residuals, cost, a linearisation, and how far a step may go
removal_cost  What each component is worth: how much the cost would rise without it, the others adapting
"""
