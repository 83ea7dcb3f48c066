create index logs_unsettled on logs (log_id) where status > 2
