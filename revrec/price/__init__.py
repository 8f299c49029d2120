"""The price: estimates, material rights, financing, refunds expected.

And what is payable to customers.
"""
