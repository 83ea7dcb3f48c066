create index signups_by_handle on signups (handle, device)
