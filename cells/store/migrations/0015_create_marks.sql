create table marks (
  log_id bigint not null,
  user_id bigint not null,
  delivered_epoch bigint not null,
  delivered_seq bigint not null,
  seen_epoch bigint not null,
  seen_seq bigint not null,
  primary key (log_id, user_id)
) with (fillfactor = 70)
