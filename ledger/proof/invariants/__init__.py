"""What must always hold of the books, each as a statement and a sentence."""
