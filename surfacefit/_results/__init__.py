"""Records of what came out, and their files, tables and pictures.

component_table  The components of a fit as a table: a row of numbers each, and under it a row of their standard error
criteria         How the number of components is chosen: the options, and what is said of each number that was tried
flags            What is to be known of a component before its numbers are used: one table of flags, each with its cau
io               A `FitResult` as a document with a version, and back
plot             Pictures of a result: data, model and residual side by side, for one, two and three dimensions
plot_mixture     Views of a mixture: its functions at points, a table, and pictures for one and two dimensions
plot_path        The picture of how the number of components was chosen
report           What the summary of a fit says
result           What a fit gives back: the surface, how good it is, how it was reached, and views for people
"""
