"""What is done with many fits: cut-outs, an order of components, labels, pictures, files.

cutouts     Boxes of one image, fitted as a batch
ways        Which of the ways below some arguments of `fit_many` ask for
chosen_numbers  The number of components of each map, chosen as `fit` does
neighbours  Starts from neighbouring maps: coarse lattices first, then fine ones
resumable   Parts of a batch in a zarr group, continued after a kill
stored_parts  Where maps ended, in a group part by part
kept_choices  What was chosen for maps, in a group part by part
groups      Zarr groups that are made whole, and say what is damaged
fingerprint What tells one fit from another
matching    Components in the same order in all maps
lazy        Maps in a dask array, fitted when they are asked for
labels      To and from xarray
plot        A quantity over the axes of a batch, as a picture
io          A batch as a file, and back
"""
