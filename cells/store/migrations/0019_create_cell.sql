-- beat: rises every two seconds, and a copy of it is kept outside: a store that is behind the copy was restored.
create table cell (
  name text not null primary key,
  number smallint not null,
  generation bigint not null,
  fold_secret bigint not null,
  beat bigint not null,
  raised_ms bigint not null,
  homes_generation bigint not null
)
