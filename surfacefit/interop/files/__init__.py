"""Files of heights: arrays, text tables and pictures; one file a format.

reading      Which file here reads a path
arrangement  Tables of numbers as heights on a grid or at points
arrays       NumPy's files
text         Text tables
pictures     Gray pictures
"""
