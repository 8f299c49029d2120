"""Who the books are about, who approves, and for whom somebody posts."""
