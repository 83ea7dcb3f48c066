-- The cell's own key pairs. The private half is wrapped with a key that is not in the database.
create table cell_keys (
  key_use text not null,
  version bigint not null,
  public_key bytea not null,
  wrapped_key bytea not null,
  created_ms bigint not null,
  starts_ms bigint not null,
  ends_ms bigint,
  primary key (key_use, version)
)
