"""What a fit returns, and its files and tables.

criteria         How the number of components is chosen: the options, and the quality of each number that was tried
record           What a fit found, as a record, with the quantities that follow from it directly
result           `FitResult`: the record with its errors, statistics, tables, files and plots
flags            Warnings about components (at a limit, redundant, undetermined, ...): one table of flags
report           The summary of a fit: facts in a few lines, then the components
summary_record   A summary as a record: its facts, and the components as a table with standard errors
io               A `FitResult` as a versioned file, and back
own_sizes        A fit seen through a beam, without the beam
"""
