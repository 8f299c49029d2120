"""The books: money, accounts, the rulebook, the journal and the sub-ledgers that post to it.

Nothing here imports from `revrec`, `adapters` or `web` (import-linter keeps it so).
"""
