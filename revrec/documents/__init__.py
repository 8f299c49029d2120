"""The documents of revenue recognition: contracts and what changes them."""
