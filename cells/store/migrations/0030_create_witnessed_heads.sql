-- The word of other cells on the logs they own: the newest head each signed, for each epoch.
create table witnessed_heads (
  log_id bigint not null,
  epoch bigint not null,
  seq bigint not null,
  hash bytea not null,
  signed_ms bigint not null,
  kid text not null,
  signature bytea not null,
  primary key (log_id, epoch)
)
