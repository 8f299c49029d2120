"""What is taken back, does not come, does not stay, or comes after all."""
