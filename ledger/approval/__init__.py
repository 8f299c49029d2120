"""Who approves what another posts."""
