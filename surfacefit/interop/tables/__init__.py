"""Tables of components, in and back.

record           A table: columns with their units
columns          The table of a surface, and of a fit with its errors
channel_columns  The table of a fit of several channels
own_sizes        Own sizes behind a beam
sky              Positions, widths and angles on the sky
libraries        Tables of pandas, polars, astropy and pyarrow
saving           Tables as files
regions          Ellipses for DS9
reading          A table as a surface
spellings        What other programs call their columns
"""
