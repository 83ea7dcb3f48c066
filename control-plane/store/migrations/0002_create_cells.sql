create table if not exists cells (
  cell bigint primary key,
  name text not null,
  region text not null,
  weight bigint not null,
  state text not null,
  heir bigint not null,
  generation bigint not null,
  version bigint not null,
  constraint cells_name_unique unique (name)
)
