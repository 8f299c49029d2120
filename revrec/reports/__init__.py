"""Reports of revenue: schedules, waterfall, disclosures, what auditors read, and what a figure is made of."""
