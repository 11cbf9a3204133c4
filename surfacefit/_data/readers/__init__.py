"""How files of each kind are read, and how a table becomes a grid or points.

arrangement  Tables of numbers as heights on a grid or at points
arrays       NumPy's files
text         Text tables
pictures     Gray pictures
"""
