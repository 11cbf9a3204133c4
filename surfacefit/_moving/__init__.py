"""Late steps of what still moves: a few components by themselves between joint steps, where these few are told.

partial_problem    some components of a problem by themselves, all others held
moving_components  who moves, and a run whose joint steps and steps of these take turns
"""
