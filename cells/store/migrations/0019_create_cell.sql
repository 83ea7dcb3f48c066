create table cell (
  name text not null primary key,
  number smallint not null,
  generation bigint not null,
  fold_secret bigint not null
)
