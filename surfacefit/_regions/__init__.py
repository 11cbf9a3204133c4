"""Growth of very many components, by regions of a grid.

start             The start of a fit of very many components, grown by regions: when, and the way into the fit
growth            Rounds: peaks on cells that become finer, and refits of groups of neighbours; joint steps at the end
first_components  The fit of the first few components of many, on averages over blocks of the grid
levels            A map on coarser cells: means of the heights over blocks, and what components leave of them
rendering         Components added to the cells of a grid, each as far as it is felt
components        Components under way: their free numbers, and the surface that these stand for
groups            Components in groups of neighbours with windows, and turns in which no two windows touch
windows           Small problems, one for each group: the cells of its window and its components
refits            Refits of groups on their windows, all others held: very many small fits by one program
sweeps            Sweeps: each group refitted once
"""
