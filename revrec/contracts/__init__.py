"""Contracts: identified, combined, modified, renewed, ended."""
