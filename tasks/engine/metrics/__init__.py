"""What monitoring sees, as plain data: the project puts it into its exporter's format."""
