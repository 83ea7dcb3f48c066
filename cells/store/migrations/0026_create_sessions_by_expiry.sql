create index sessions_by_expiry on sessions (ends_ms)
