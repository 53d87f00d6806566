grant tenancy_system to current_user; -- for these statements
grant create on schema {schema} to tenancy_system;
create or replace function {name}(query text, most integer default {most}) returns setof {table}
    language sql stable security definer
    set search_path = pg_catalog, pg_temp
as $body$
    select t.* from {table} t
    where t.{tenant} = (select tenancy.tenant_id()::{type})
      and t.{vector} @@ websearch_to_tsquery({config}::regconfig, query)
    order by ts_rank_cd(t.{vector}, websearch_to_tsquery({config}::regconfig, query)) desc
    limit least(greatest(most, 0), {most})
$body$;
alter function {name}(text, integer) owner to tenancy_system;
revoke all on function {name}(text, integer) from public;
grant execute on function {name}(text, integer) to tenancy_app;
revoke create on schema {schema} from tenancy_system;
revoke tenancy_system from current_user;
