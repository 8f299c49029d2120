"""Invoices: posted, taxed, discounted, shown, and what of them is left to bill."""
