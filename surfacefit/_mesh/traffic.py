"""Numbers that the devices of a mesh add up in a step, from the sizes of a problem.

Parameters are on every device, so that points and lists are never sent. What is sent are sums over the devices: of
J^T r and of J^T J where that is linearised, and of one vector a product in conjugate gradients. A device sends and
receives 2 (D - 1) / D times as many bytes as a sum has, whatever the number of points.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Traffic:
    """Bytes of the sums in a step: of the linearisation, outside of the iterations of conjugate gradients, and in each
    of these. Single numbers, such as costs, come on top: fewer than SINGLE_NUMBERS of them.
    """

    linearization: int
    solve: int
    iteration: int

    def step(self, iterations: int) -> int:
        """Bytes of the sums of a step with so many iterations of conjugate gradients."""
        return self.linearization + self.solve + iterations * self.iteration

    def sent(self, iterations: int, n_devices: int) -> float:
        """Bytes that each of so many devices sends in such a step, where sums go around a ring."""
        return 2 * (n_devices - 1) / n_devices * self.step(iterations)


# Numbers; sums of fewer are costs and the like, which take a message but next to no bytes.
SINGLE_NUMBERS = 8


def dense_traffic(n_parameters: int, itemsize: int) -> Traffic:
    """J^T J as a matrix, and J^T r; the factorisation is made on each device."""
    return Traffic((n_parameters**2 + n_parameters) * itemsize, 0, 0)


def products_traffic(n_components: int, block_size: int, n_border: int, itemsize: int) -> Traffic:
    """Blocks on the diagonal and J^T r; a product J^T (J v) an iteration, one before the first, and one for the fall
    in cost that the model predicts.
    """
    n_parameters = n_components * block_size + n_border
    blocks = n_components * block_size**2 + n_border**2
    return Traffic((blocks + n_parameters) * itemsize, 2 * n_parameters * itemsize, n_parameters * itemsize)


def direct_traffic(n_components: int, block_size: int, n_border: int, itemsize: int) -> Traffic:
    """Of blocks that are held apart, where the whole matrix is put together and factorised on each device: J^T r and
    the blocks on the diagonal, these again for the scales of the parameters, the matrix, and a product for the fall in
    cost that the model predicts.
    """
    n_own = n_components * block_size
    n_parameters, blocks = n_own + n_border, n_own * block_size + n_border**2
    return Traffic((n_parameters + blocks) * itemsize, (blocks + n_parameters**2 + n_parameters) * itemsize, 0)


def blocks_traffic(
    n_components: int, block_size: int, n_border: int, itemsize: int, block_itemsize: int, in_clusters: int
) -> Traffic:
    """J^T r; of blocks that are held apart those on the diagonal, for the optimality, and once for the scales of the
    parameters and the preconditioner; half of the numbers of its matrices, ``in_clusters``; a product and a
    preconditioned vector an iteration and before the first, and a product for the fall in cost that the model predicts.
    """
    n_own = n_components * block_size
    n_parameters, blocks = n_own + n_border, n_own * block_size + n_border**2
    outside = 2 * blocks + in_clusters + 2 * n_parameters + n_own
    return Traffic(n_parameters * itemsize, outside * block_itemsize, (n_parameters + n_own) * block_itemsize)
