"""What postings name: the chart of accounts, the rulebook, and the house."""
