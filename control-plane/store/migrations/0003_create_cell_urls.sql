create table if not exists cell_urls (
  cell bigint not null,
  url text not null,
  seen_ms bigint not null,
  primary key (cell, url)
)
