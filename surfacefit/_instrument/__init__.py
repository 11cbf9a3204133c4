"""What the components were seen through.

beam_option    The option `beam`: what the components were seen through, as a covariance
map_beam       The beam of an image of the sky, in its pixels
own_errors     Errors of own covariances, also where they are at their limit of zero
upper_limits   Largest variances that the likelihood allows
deconvolution  Own sizes of components behind a beam, with errors and upper limits
"""
