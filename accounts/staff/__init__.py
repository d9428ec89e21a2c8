"""What the admin's pages share: who may do what, selections, deletions, and the log of changes."""
