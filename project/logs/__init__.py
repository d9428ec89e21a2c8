"""The log of every process: its form, what it leaves out, and a line for each request."""
