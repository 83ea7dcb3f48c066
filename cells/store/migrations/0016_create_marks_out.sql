-- Marks that wait to be told to another cell; deleted when the acknowledged position equals them.
create table marks_out (
  dst smallint not null,
  log_id bigint not null,
  user_id bigint not null,
  delivered_epoch bigint not null,
  delivered_seq bigint not null,
  seen_epoch bigint not null,
  seen_seq bigint not null,
  primary key (dst, log_id, user_id)
)
