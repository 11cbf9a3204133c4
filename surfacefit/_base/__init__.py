"""Helpers that know nothing of fits.

checks                Input validation: each check takes an argument's name and returns the clean value, or raises
compile               Compiling in less time: all compiled programs are made here
devices               Which kind of device holds arrays: what runs fastest differs between a CPU and an accelerator
array_files           Files of NumPy, read with care: what an array claims is checked before memory is taken for it
documents             Documents on disk as JSON or npz, never pickle; every number comes back exactly
exchange              A surface to and from other programs
information_criteria  AIC, AICc and BIC: how well a model fits, minus what its free numbers would gain on noise
lane_loop             Some lanes of an array, one after another inside a program
layout                A summary as text and as HTML: facts in two columns, then a table; and how its numbers are written
memory                How much memory a fit will need, before it takes any
precision             The precision of a fit: 64-bit JAX for a block of code, and arrays on the device
progress              What a user sees while a fit runs: a progress bar, and a callback
status                Why a fit ended: one table of codes, each with its cause and the next step
threads               How many threads BLAS and LAPACK may use
"""
