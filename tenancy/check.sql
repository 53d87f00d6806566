-- What keeps row-level security from binding the current role, a member of group $1, by itself or by SET ROLE, which asks what
-- the session's role may become: a pool that sets a role may have logged in as another one.
-- What the system's role may become is no matter: it sees all rows anyway.
select me.rolname::text, array_remove(array[
    case when me.rolsuper then 'is a superuser' end,
    case when me.rolbypassrls then 'has BYPASSRLS' end,
    case when to_regrole($1) is null or not pg_has_role(me.rolname, to_regrole($1), 'member')
        then 'is no member of ' || $1 end,
    case when exists (select from pg_class where relrowsecurity and relowner = me.oid)
        then 'owns tables with row-level security' end
] || case when $1 = 'tenancy_app' and not me.rolsuper then array(
    select format('can become %I, which %s', r.rolname, case when r.rolsuper then 'is a superuser'
        when r.rolbypassrls then 'has BYPASSRLS' when r.rolname = 'tenancy_system' then 'sees all tenants'
        else 'owns tables with row-level security' end)
    from pg_roles r
    where r.oid <> me.oid and case when login.rolsuper then r.oid = login.oid else pg_has_role(login.oid, r.oid, 'member') end
      and (r.rolsuper or r.rolbypassrls or r.rolname = 'tenancy_system'
          or exists (select from pg_class where relrowsecurity and relowner = r.oid))
    order by r.rolname) end, null)
from pg_roles me, pg_roles login
where me.rolname = current_user and login.rolname = session_user
