"""Other people's arrays, files, tables and programs; everything here imports its package when it is used.

arrays      arrays of other libraries, in and back
files       files of heights
unread      maps that stay on disk, as windows of heights
reports     a fit as a page
widget      a fit in a notebook, to look at and to touch
"""
