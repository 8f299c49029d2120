"""What goes out: exports made, kept, sent and traced back; webhooks; seals that others vouch for."""
