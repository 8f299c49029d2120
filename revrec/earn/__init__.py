"""Earning: progress, recognition, contract costs, net positions."""
