"""Surfaces for other programs.

formats       Which file here writes a path
hills         Hills of metadynamics, for PLUMED, and from it
periodic_images  Components along periodic coordinates
pdb           Pseudo-atoms, for molecular viewers
chimerax      Markers for ChimeraX
terms         The numbers of a formula
numpy_source  A function of NumPy
c_source      A function in C
latex_source  A formula in LaTeX
"""
