"""Reports of revenue: schedules, waterfall, disclosures, and what auditors read.

And what a figure is made of.
"""
