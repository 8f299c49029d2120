"""Wallets: grants of credits, what they are worth, how they are issued, expire and break."""
