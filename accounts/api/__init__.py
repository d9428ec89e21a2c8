"""Who calls the API, and what it offers of accounts."""
