"""`/metrics`, for Prometheus: what web processes count, and what database and broker say."""
