-- Leases save work; no rule of delivery depends on them. The row stays when its lease ends: the term goes on rising.
create table leases (
  name text primary key,
  holder text not null,
  term bigint not null,
  expires_ms bigint not null
)
