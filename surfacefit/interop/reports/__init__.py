"""A fit as a page for others.

page      The page: pictures, summary, components, diagnostics
html      Pictures and tables as HTML
"""
