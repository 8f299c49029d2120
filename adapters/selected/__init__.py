"""What of the books goes out, and as what: mapped accounts, selected entries, invoices and payments."""
