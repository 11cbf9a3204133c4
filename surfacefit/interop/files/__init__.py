"""Files of heights: arrays, text tables and pictures; one file a format.

reading      Which file here reads a path
writing      Which file here writes a map
layer        Sizes and windows of grids that have not been read yet
arrangement  Tables of numbers as heights on a grid or at points
arrays       NumPy's files
text         Text tables
pictures     Gray pictures
geotiff      GeoTIFF
"""
