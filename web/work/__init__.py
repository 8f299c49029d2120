"""What people do, whichever face they use: post, close, draft, report, export."""
