"""What the admin's pages share: rights, selections, deletions, and the log of changes."""
