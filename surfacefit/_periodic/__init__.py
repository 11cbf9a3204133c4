r"""Axes that repeat: the nearest images of components, and sums over images.

Along an axis with period P a component is the wrapped Gaussian: the sum over whole n of a Gaussian with its centre at
c + n P, which is smooth everywhere. (The nearest image alone has a kink half a period from the centre.) All images have
one covariance, so that the columns of the Jacobian are sums over images, too: J_k = (sum_n g(u_n) Phi(u_n)) B_k.

nearest        Offsets to the nearest images, and points moved into one period
image_numbers  Which images may be needed, and how near each can come to a point
images         The sum over images on the device
host_images    Images as components of their own, on the host
"""
