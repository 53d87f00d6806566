-- What keeps row-level security from binding the current role, a member of group $1.
select current_user::text, array_remove(array[
    case when rolsuper then 'is a superuser' end,
    case when rolbypassrls then 'has BYPASSRLS' end,
    case when to_regrole($1) is null or not pg_has_role(rolname, to_regrole($1), 'member')
        then 'is no member of ' || $1 end,
    case when exists (select from pg_class where relrowsecurity and relowner = pg_roles.oid)
        then 'owns tables with row-level security' end
], null)
from pg_roles
where rolname = current_user
