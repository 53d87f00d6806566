-- What the conformance suite runs on. Needs the migrations of tenancy.

create table suite_rows (
    tenant_id text not null,
    key       text not null,
    value     bigint not null,
    at        bigint generated always as identity,
    primary key (tenant_id, key)
);
select tenancy.protect('suite_rows');

create function suite_fail(code text) returns void language plpgsql as $$
begin
    raise exception 'planted failure' using errcode = code;
end
$$;
