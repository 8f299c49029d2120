"""The frame of reports, and those of the general ledger."""
