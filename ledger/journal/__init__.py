"""The journal: entries and what writes and reads them, by day, in every currency, month by month."""
