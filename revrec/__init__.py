"""Revenue recognition (ASC 606, IFRS 15).

Contracts, obligations, schedules and their postings.
"""
