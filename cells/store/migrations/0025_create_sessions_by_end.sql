create index sessions_by_end on sessions (ended_ms) where ended_ms is not null
