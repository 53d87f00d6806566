-- The function belongs to tenancy_system, whose policy shows all rows. That takes membership in the role for the moment.
do $do$
declare
    lent boolean := not pg_has_role(current_user, 'tenancy_system', 'usage');
begin
    if lent then
        execute format('grant tenancy_system to %I', current_user);
    end if;
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
    grant create on schema {schema} to tenancy_system;
    alter function {name}(text, integer) owner to tenancy_system;
    revoke create on schema {schema} from tenancy_system;
    revoke all on function {name}(text, integer) from public;
    grant execute on function {name}(text, integer) to tenancy_app;
    if lent then
        execute format('revoke tenancy_system from %I', current_user);
    end if;
end
$do$;
