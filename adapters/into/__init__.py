"""What comes in from other systems, as documents."""
