"""Revenue recognition (ASC 606 / IFRS 15): contracts, obligations, schedules and their postings."""
