"""What background work is doing, and what of it needs attention."""
