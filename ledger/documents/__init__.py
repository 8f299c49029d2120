"""Documents as they come in: forms, lines read and checked, ids.

And what of them is personal.
"""
