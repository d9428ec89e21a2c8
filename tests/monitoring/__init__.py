"""A real Prometheus looks at a real Tidy: `python -m tests.monitoring` makes each alert fire."""
