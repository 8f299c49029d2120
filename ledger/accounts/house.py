"""The house: who documents and entries are of that concern no customer."""

from __future__ import annotations

HOUSE = 0
HOUSE_REF = "~house"
# The type of what the house keeps beside a document that moves money of others than its customer.
BESIDE = "beside"
