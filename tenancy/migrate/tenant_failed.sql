-- $1 tenant, $2 error
insert into ashlar.tenant_failures (tenant, error) values ($1, $2)
on conflict (tenant) do update set error = excluded.error, at = clock_timestamp()
