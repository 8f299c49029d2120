"""All tables together.

What they are for, their constraints and triggers stand in migrations/; a test holds the two together.
Amounts are bigint minor units; `customer_id` leads every key of the journal (one customer's rows live together).
"""

from __future__ import annotations

from sqlalchemy import Table

from ledger.database.schema import access, contracts, documents, exports, invoices, journal, parties, proof, wallets
from ledger.database.schema.columns import metadata

__all__ = ["SUBJECTS", "TABLES", "metadata"]

# Each module declares its tables as it is read.
SUBJECTS = (parties, documents, journal, proof, wallets, invoices, contracts, exports, access)
# All of them, what is referred to first.
TABLES: tuple[Table, ...] = tuple(metadata.sorted_tables)
