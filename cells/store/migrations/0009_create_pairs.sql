create table pairs (
  low bigint not null,
  high bigint not null,
  log_id bigint not null,
  primary key (low, high)
)
