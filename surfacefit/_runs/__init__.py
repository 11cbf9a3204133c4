"""Runs that are made of several: what lies above one solver's run from one start, and below a fit.

capped_weights   runs under weights of many decades: first with the heavy ones capped
moving_run       late steps cost what still moves: joint steps, and steps of those that move, take turns
who_moves        the few components that made nearly all of a joint step
tied_problem     a problem in the free numbers of a fit whose parameters follow from these
partial_problem  some components of a problem by themselves, all others held
"""
