"""What changes the terms of a contract's obligations, folded in the order of dates."""
