"""Systems of linear equations and their inverses, without Gaussians.

cluster_preconditioner  Inverses of clusters of components, for conjugate gradients
conjugate_gradients     Conjugate gradients that end at a direction of no positive curvature
dissection              Nested dissection: the order in which unknowns of a sum over tiles are eliminated
factorized_inverse      A sparse approximate inverse of a matrix of blocks
frontal_matrices        Symmetric matrices as lower triangles in three parts that BLAS takes without copies
linear_solve            The damped Gauss-Newton system (J^T J + mu D) h = -J^T r, by three methods
normal/                 How J^T J is held and how the damped system is solved: pick one of these
regional_inverse        Diagonal blocks of the inverse of a very large normal matrix, region by region with halos
selected_inverse        Diagonal blocks of the inverse of a large normal matrix, exactly, by nested dissection
"""
