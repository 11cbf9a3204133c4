"""Many surfaces in one call: each is fitted as `fit` would, in chunks that share compiled programs.

fit_many        The public function: read first
stack           A user's maps, one by one as checked data
lanes           What each map of a chunk needs for its fit
small_maps      Single components on small maps, all at once
alike           Stacks of lanes of maps that differ in their heights alone
lane_stacks     Lanes whose problems have one form, as arrays over them
lane_peaks      Components at the peaks above the states of many lanes
lane_growth     Growth in rounds that all maps of a chunk share
lane_starts     Where the components of each map start; a short search
lane_runs       The solver's steps, by one program, and which engine serves a lane
lane_ends       Where the steps ended, in the user's units
map_numbers     The ends of all maps as arrays, and what follows from them in bulk
batch_record    The fits as a record, and one number of each map
batch_result    What comes back: arrays over all maps, and the result of each
"""
