"""Receipts: the mails that tell people what a night has taken from their lists."""
