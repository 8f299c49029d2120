"""Money that comes in after all for what a write-off gave up."""
