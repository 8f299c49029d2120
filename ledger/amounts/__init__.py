"""Amounts and days: money in minor units, months as the books count them."""
