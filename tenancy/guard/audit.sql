-- The rules of Audit, one row per finding. $1 is the name of the tenant column, $2 the app role, $3 the system role.
-- Superusers pass every has_…_privilege, so the rules about privileges look at the other actors only: rule T14 has them.
with recursive
memberships as (
    -- From PostgreSQL 16 on a membership may be for administration only.
    select roleid, member, coalesce((to_jsonb(m) ->> 'inherit_option')::bool, true)
        or coalesce((to_jsonb(m) ->> 'set_option')::bool, true) as acts
    from pg_auth_members m
),
actors (oid) as (                                       -- who acts as the app: its role and the members of that
    select oid from pg_roles where rolname = $2
    union
    select m.member from memberships m join actors a on m.roleid = a.oid where m.acts
),
bound as materialized (                                 -- of these, who may have rights that the others have not
    select r.oid from actors a join pg_roles r using (oid)
    where not r.rolsuper and (r.rolname = $2
        or exists (select from pg_shdepend d where d.refclassid = 'pg_authid'::regclass and d.refobjid = a.oid)
        or exists (select from memberships m where m.member = a.oid and m.roleid not in (select oid from actors)))
),
grantees as (
    select 'public, ' || string_agg(quote_ident(rolname), ', ' order by rolname) as list from bound join pg_roles using (oid)
),
above (actor, oid, via) as (                            -- what they are members of and by whose membership, themselves included
    select oid, oid, null::oid from actors
    union
    select a.actor, m.roleid, m.member from memberships m join above a on m.member = a.oid
),
spaces as (
    select oid, nspname from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema'
),
relations as materialized (
    select c.oid, c.relkind, c.relrowsecurity, c.relforcerowsecurity, c.relispartition, c.relowner, c.reloptions,
           format('%I.%I', s.nspname, c.relname) as name, a.attnum, a.attnotnull
    from pg_class c
    join spaces s on s.oid = c.relnamespace
    left join pg_attribute a on a.attrelid = c.oid and a.attname = $1 and not a.attisdropped
    where c.relkind in ('r', 'p', 'f', 'v', 'm')
      and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
),
tables as materialized (select * from relations where relkind in ('r', 'p', 'f') and attnum is not null),
usable as materialized (                                -- relations whose rows the app role may read or write
    select r.oid from relations r
    where exists (select from bound where has_any_column_privilege(oid, r.oid, 'select, insert, update') or has_table_privilege(oid, r.oid, 'delete'))
),
policies as materialized (                              -- of the app
    select format('%s.%I', t.name, p.polname) as name, e.expr, p.polpermissive,
           format('drop policy %I on %s; select tenancy.protect(%L)', p.polname, t.name, t.name) as fix
    from pg_policy p
    join tables t on t.oid = p.polrelid
    cross join lateral (values (pg_get_expr(p.polqual, p.polrelid)), (pg_get_expr(p.polwithcheck, p.polrelid))) e (expr)
    where e.expr is not null
      and (0 = any (p.polroles) or exists (select from above where oid = any (p.polroles)))
),
-- Expressions without literals, from the inside out: parentheses become braces, a sub-select of the tenant becomes
-- "TENANT" and any other "OTHER", until none is left. What then still looks like a call is evaluated for each row.
-- Each is folded a second time, where the comparison with the tenant becomes "SAFE", and so do parentheses around that,
-- alone or and-ed with more, unless they are those of a call. The whole is safe if that is what is left.
safe (form, casts) as (
    select '(?<![\w"])\(([^()]*\sAND\s+)?(SAFE|\{*' || regexp_replace(quote_ident($1), '(\W)', '\\\1', 'g') || casts
        || ' = \{*(TENANT|tenancy\.tenant_id\{\})' || casts || ')(\sAND\s[^()]*)?\)', casts
    from (values ('(\}*(::(text|character varying|bpchar|uuid|bigint|integer|smallint|numeric))?)*')) c (casts)  -- which keep values apart
),
folded (expr, confines, rest, depth) as (
    select distinct p.expr, c.confines, regexp_replace(p.expr, '''(?:[^'']|'''')*''', '''''', 'g'), 0
    from policies p, (values (false), (true)) c (confines)
    union all
    select f.expr, f.confines, case when f.confines and n.rest ~ safe.form then regexp_replace(n.rest, safe.form, 'SAFE', 'g')
        else regexp_replace(n.rest, '\((?!\s*SELECT\M)([^()]*)\)', '{\1}', 'g') end, f.depth + 1
    from folded f
    cross join safe
    cross join lateral (select regexp_replace(regexp_replace(f.rest,
        '\(\s*SELECT\s+\{*tenancy\.tenant_id\{\}' || safe.casts || '(\s+AS\s+\w+)?\s*\)', 'TENANT', 'g'),
        '\(\s*SELECT\M[^()]*\)', 'OTHER', 'g')) n (rest)
    where f.rest ~ '[()]' and f.depth < 60
),
shapes as materialized (select distinct on (expr, confines) expr, confines, rest from folded order by expr, confines, depth desc),
indexes as materialized (
    select i.*, t.name, t.attnum, c.relispartition, am.amname, format('%I.%I', s.nspname, c.relname) as index,
        (i.indkey::int2[])[0:i.indnkeyatts - 1] as keys
    from pg_index i
    join tables t on t.oid = i.indrelid
    join pg_class c on c.oid = i.indexrelid
    join pg_namespace s on s.oid = c.relnamespace
    join pg_am am on am.oid = c.relam
),
columns_of as (                                         -- of unique indexes without the tenant
    select i.indexrelid, string_agg(quote_ident(a.attname), ', ' order by k.n) as list
    from indexes i
    cross join lateral unnest(i.keys) with ordinality k (attnum, n)
    join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
    where i.indisunique group by i.indexrelid
)

select 'T01' as rule, name as object, 'has a tenant column but no row-level security' as problem,
       case when relkind = 'f' then format('revoke all on %s from %s', name, (select list from grantees))
            else format('select tenancy.protect(%L)', name) end as fix
from tables t
where not relrowsecurity and (relkind <> 'f' and not relispartition or oid in (select oid from usable))

union all
select 'T02', name, 'does not force row-level security on its owner, so what runs as the owner sees all tenants',
       format('alter table %s force row level security', name)
from tables where relrowsecurity and not relforcerowsecurity

union all
select 'T03', name, 'may be used by the app role but has no policy for it, so it looks empty',
       format('select tenancy.protect(%L)', name)
from tables t
where relrowsecurity and not relispartition and oid in (select oid from usable)
  and not exists (select from pg_policy where polrelid = t.oid and polpermissive
      and (0 = any (polroles) or exists (select from above where oid = any (polroles))))

union all
select distinct 'T04', p.name, 'calls a function outside of a sub-select, once per row: ' || p.expr,
       p.fix
from policies p join shapes s using (expr) where not s.confines and s.rest ~ '[\w"]\{'

union all
select distinct 'T05', p.name, 'lets more through than the rows of tenancy.tenant_id(): ' || p.expr,
       p.fix
from policies p join shapes s using (expr)
where s.confines and s.rest <> 'SAFE' and p.polpermissive
union all
select 'T05', t.name, format('compares %I by the collation %I.%I, which takes different tenants for the same', $1, s.nspname, l.collname),
       format('alter table %s alter column %I type text collate "C"; drop … its policies before and select tenancy.protect(%L) after', t.name, $1, t.name)
from tables t
join pg_attribute a on a.attrelid = t.oid and a.attnum = t.attnum
join pg_collation l on l.oid = a.attcollation
join pg_namespace s on s.oid = l.collnamespace
where not l.collisdeterministic

union all
select 'T06', name, format('allows null in %I, a row of nobody', $1),
       format('alter table %s alter column %I set not null', name, $1)
from tables where not attnotnull and relkind <> 'f'

union all
select 'T07', name, format('has no index that begins with %I', $1),
       format('create index on %s (%I)', name, $1)
from tables t
where relkind <> 'f' and not relispartition and not exists (
    select from indexes i where i.indrelid = t.oid and i.indisvalid and i.indpred is null and i.keys[1] = t.attnum)

union all
select 'T08', i.index, format('is unique without %I, so a tenant notices the values of another', $1),
       case when c.contype in ('p', 'u') then format('alter table %s drop constraint %I, add %s (%I, %s)', i.name, c.conname,
           case c.contype when 'p' then 'primary key' else 'unique' end, $1, l.list)
       when c.contype = 'x' then format('alter table %s drop constraint %I, add exclude using %s (%I with =, …)', i.name, c.conname, i.amname, $1)
       else format('drop index %s; create unique index on %s (%I, %s)', i.index, i.name, $1, coalesce(l.list, '…')) end
from indexes i
left join pg_constraint c on c.conindid = i.indexrelid and c.contype in ('p', 'u', 'x')
left join columns_of l on l.indexrelid = i.indexrelid
where (i.indisunique or i.indisexclusion) and not i.relispartition and not i.attnum = any (i.keys)

union all
select 'T09', format('%s.%I', t.name, c.conname),
       format('references %s without %I, so a row may belong to the row of another tenant', p.name, $1),
       format('alter table %s drop constraint %I, add constraint %I ', t.name, c.conname, c.conname)
           || regexp_replace(pg_get_constraintdef(c.oid), '^FOREIGN KEY \((.*?)\) REFERENCES (.*?)\(',
               format('FOREIGN KEY (%I, \1) REFERENCES \2(%I, ', $1, $1))
from pg_constraint c
join tables t on t.oid = c.conrelid
join tables p on p.oid = c.confrelid
where c.contype = 'f' and c.conparentid = 0
  and not exists (select from unnest(c.conkey, c.confkey) k (ours, theirs) where k.ours = t.attnum and k.theirs = p.attnum)

union all
select 'T10', v.name, 'is a view that reads with the rights of its owner instead of the reader''s',
       case when current_setting('server_version_num')::int < 150000 then format('revoke all on %s from %s', v.name, (select list from grantees))
            else format('alter view %s set (security_invoker = true)', v.name) end
from relations v
where v.relkind = 'v' and coalesce(array_to_string(v.reloptions, ',') !~* 'security_invoker=(true|on|yes|1)', true)
  and exists (select from bound where has_any_column_privilege(oid, v.oid, 'select, insert, update'))
  and exists (select from pg_rewrite w
      join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid and d.refclassid = 'pg_class'::regclass
      join relations r on r.oid = d.refobjid and r.oid <> v.oid
      where w.ev_class = v.oid and (r.attnum is not null or r.relrowsecurity or r.relkind in ('v', 'm')))

union all
select 'T11', name, 'is a materialized view, which has no row-level security, and may be read by the app role',
       format('revoke all on %s from %s', name, (select list from grantees))
from relations m
where relkind = 'm' and exists (select from bound where has_any_column_privilege(oid, m.oid, 'select'))

union all
select 'T12', format('%I.%I(%s)', s.nspname, f.proname, pg_get_function_identity_arguments(f.oid)),
       'runs with the rights of ' || f.proowner::regrole || case f.prorettype when 'trigger'::regtype then ' when the app role makes it a trigger of a temporary table' else ' when the app role calls it' end
       || case when array_to_string(f.proconfig, ',') ~ '\msearch_path=' then '' else ', and in the caller''s search_path' end,
       format('revoke execute on function %I.%I(%s) from %s', s.nspname, f.proname, pg_get_function_identity_arguments(f.oid), (select list from grantees))
from pg_proc f
join spaces s on s.oid = f.pronamespace
where f.prosecdef and f.prorettype <> 'event_trigger'::regtype
  and exists (select from bound where has_function_privilege(oid, f.oid, 'execute')
      and (f.prorettype <> 'trigger'::regtype or has_database_privilege(oid, current_database(), 'temporary')))
  and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = f.oid and d.deptype = 'e')

union all
select 'T13', t.name, 'grants the app role TRUNCATE, REFERENCES, TRIGGER or MAINTAIN, which no policy limits',
       format('revoke truncate, references, trigger%s on %s from %s',
           case when current_setting('server_version_num')::int >= 170000 then ', maintain' end, t.name, (select list from grantees))
from tables t
where exists (select from bound where has_table_privilege(oid, t.oid, 'truncate, trigger') or has_any_column_privilege(oid, t.oid, 'references'))
   or exists (select from pg_class c, aclexplode(c.relacl) g       -- no has_…_privilege knows it before PostgreSQL 17
      where c.oid = t.oid and g.privilege_type = 'MAINTAIN'
        and (g.grantee = 0 or g.grantee in (select a.oid from above a join bound b on b.oid = a.actor)))
union all
select 'T13', format('%I.%I', s.nspname, c.relname), 'is a sequence that the app role may set (UPDATE), which gives all tenants numbers that they have already',
       format('revoke update on sequence %I.%I from %s', s.nspname, c.relname, (select list from grantees))
from pg_class c
join spaces s on s.oid = c.relnamespace
where c.relkind = 'S' and exists (select from bound where has_sequence_privilege(oid, c.oid, 'update'))
  and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
union all
select 'T13', 'tenancy.' || l.log, 'lets the app role write what only the database says of an entry: ' || array_to_string(l.said, ', '),
       format('revoke insert on tenancy.%I from %s; grant insert (%s) on tenancy.%I to %I', l.log, (select list from grantees), l.written, l.log, $2)
from (values ('outbox', '{seq,xid,at}'::text[], 'id, tenant_id, type, key, payload'),
    ('audit', '{at,role,seq}', 'id, tenant_id, actor, on_behalf_of, ip, request_id, reason, action, subject, changes')) l (log, said, written)
where exists (select from bound b, unnest(l.said) c where has_column_privilege(b.oid, to_regclass('tenancy.' || l.log), c, 'insert'))

union all
select 'T14', r.rolname, 'acts as the app role and ' || concat_ws(', ', case when r.rolsuper then 'is a superuser' end,
           case when r.rolbypassrls then 'has BYPASSRLS' end, case when r.rolreplication then 'has REPLICATION' end,
           case when o.tables > 0 then format('owns %s tables with tenants', o.tables) end),
       case when o.tables > 0 then format('reassign owned by %I to …', r.rolname)
            else format('alter role %I nosuperuser nobypassrls noreplication', r.rolname) end
from actors join pg_roles r using (oid)
cross join lateral (select count(*) as tables from tables where relowner = r.oid) o
where r.rolsuper or r.rolbypassrls or r.rolreplication or o.tables > 0

union all
select distinct 'T15', r.rolname, 'acts as the app role and can become ' || case when t.oid = r.oid then 'any role (CREATEROLE)' else quote_ident(t.rolname) end,
       case when t.oid = r.oid then format('alter role %I nocreaterole', r.rolname)
            else format('revoke %I from %s', t.rolname, a.via::regrole) end
from above a
join pg_roles r on r.oid = a.actor
join pg_roles t on t.oid = a.oid
where not r.rolsuper and (t.oid = r.oid and r.rolcreaterole or t.oid <> r.oid and (t.rolsuper or t.rolbypassrls or t.rolcreaterole
    or t.rolname in ($3, 'pg_read_all_data', 'pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files')
    or t.oid not in (select oid from actors) and exists (select from tables where relowner = t.oid)))

union all
select 'T16', s.nspname, 'lets the app role create objects, which others then may run',
       format('revoke create on schema %I from %s', s.nspname, (select list from grantees))
from spaces s where exists (select from bound b where has_schema_privilege(b.oid, s.oid, 'create'))
union all
select 'T16', current_database(), 'lets the app role create schemas',
       format('revoke create on database %I from %s', current_database(), (select list from grantees))
where exists (select from bound where has_database_privilege(oid, current_database(), 'create'))

union all
select 'T17', i.index, 'is not used under row-level security, as its operators are not leakproof: '
           || case when i.indexprs is not null then 'expression' else coalesce(k.type, i.amname) end,
       'use a generated column instead of an expression, text with a check instead of an enum, guard.SearchFunc for text search'
from indexes i
left join lateral (                                     -- the first key whose equality is not leakproof
    select format_type(o.opcintype, null) as type
    from unnest(i.indclass::oid[]) with ordinality c (opc, n)
    join pg_opclass o on o.oid = c.opc
    join pg_amop e on e.amopfamily = o.opcfamily and e.amoplefttype = o.opcintype and e.amoprighttype = o.opcintype
        and e.amopstrategy = case i.amname when 'hash' then 1 else 3 end
    join pg_operator p on p.oid = e.amopopr
    join pg_proc f on f.oid = p.oprcode
    where not f.proleakproof order by c.n limit 1
) k on true
where not i.relispartition and (k.type is not null or i.indexprs is not null or i.amname not in ('btree', 'hash', 'brin'))

union all
select 'T18', name, format('has no %I, but the app role may use it: is it meant for all tenants?', $1),
       'add the tenant column and protect the table, or declare it in Options.Allow'
from relations
where relkind in ('r', 'p', 'f') and attnum is null and not relispartition and oid in (select oid from usable)

union all
select 'T19', coalesce(nullif(concat_ws(' in ', nullif(d.setrole, 0)::regrole, b.datname), ''), 'all'),
       'sets ' || split_part(c.setting, '=', 1) || ' for whole sessions, so a statement without a tenant acts for one',
       format('alter %s reset %s', case when d.setrole = 0 then format('database %I', b.datname)
           else format('role %s', d.setrole::regrole) || coalesce(' in database ' || quote_ident(b.datname), '') end, split_part(c.setting, '=', 1))
from pg_db_role_setting d
left join pg_database b on b.oid = d.setdatabase
cross join lateral unnest(d.setconfig) c (setting)
where (d.setdatabase = 0 or b.datname = current_database()) and c.setting ~* '^(tenancy\.|row_security=)'
union all
select 'T19', 'session', 'has a tenant before any transaction: a setting of the server, or one made by SET or set_config(…, false)',
       'reset tenancy.tenant'
where current_setting('tenancy.tenant', true) <> ''

union all
select 'T20', 'database', 'lets the app role make temporary tables, as every database does at first; a later unit on the connection finds one before the table of that name',
       format('revoke temporary on database %I from %s', current_database(), (select list from grantees))
where exists (select from bound where has_database_privilege(oid, current_database(), 'temporary'))

union all
select 'T21', name, 'is a partition without row-level security; the app role has no right on it and reaches it through the parent''s policies only',
       format('alter table %s enable row level security, force row level security', name)
from tables
where not relrowsecurity and relispartition and relkind <> 'f' and oid not in (select oid from usable)

union all
select 'T22', format('%s.%I', r.name, w.rulename), 'is a rule; what the app role writes makes it act with the rights of ' || r.relowner::regrole,
       format('drop rule %I on %s', w.rulename, r.name)
from pg_rewrite w
join relations r on r.oid = w.ev_class
where w.rulename <> '_RETURN'
  and exists (select from bound where has_any_column_privilege(oid, r.oid, 'insert, update') or has_table_privilege(oid, r.oid, 'delete'))

union all
select 'T23', 'large objects', format('are %s that the app role may read, for each of its tenants: a large object, as %s, has no tenant and no policy', count(*), min(l.oid)),
       'keep the bytes in a bytea column of a protected table, then: select lo_unlink(…)'
from pg_largeobject_metadata l
where current_setting('lo_compat_privileges')::bool or l.lomowner in (select a.oid from above a join bound b on b.oid = a.actor)
   or exists (select from aclexplode(l.lomacl) g
      where g.grantee = 0 or g.grantee in (select a.oid from above a join bound b on b.oid = a.actor))
having count(*) > 0

union all
select distinct 'T24', format('%I.%I(%s)', s.nspname, f.proname, pg_get_function_identity_arguments(f.oid)),
       'runs with the rights of ' || case when f.prosecdef then f.proowner::regrole::text else b.owner || ', as a trigger that a foreign key sets off,' end
       || ' and finds temporary tables and types of the app role before those that it means',
       format('alter function %I.%I(%s) set search_path = %s, pg_temp', s.nspname, f.proname, pg_get_function_identity_arguments(f.oid),
           coalesce(nullif(p.path, '""'), case s.nspname when 'public' then 'pg_catalog, public' else format('pg_catalog, %I, public', s.nspname) end))
from pg_proc f
join pg_language l on l.oid = f.prolang and l.lanname not in ('c', 'internal')
join spaces s on s.oid = f.pronamespace
join (
    select f.oid, null as owner from pg_proc f
    where f.prosecdef and exists (select from bound where has_function_privilege(oid, f.oid, 'execute'))
    union all
    select g.tgfoid, r.relowner::regrole::text from pg_trigger g join relations r on r.oid = g.tgrelid join pg_proc f on f.oid = g.tgfoid
    where not g.tgisinternal and (f.prosecdef and r.oid in (select oid from usable) or exists (select from pg_constraint c
        where c.contype = 'f' and c.conrelid = r.oid and (c.confdeltype in ('c', 'n', 'd') or c.confupdtype in ('c', 'n', 'd'))))
) b on b.oid = f.oid
left join lateral (select substr(c, 13) as path from unnest(f.proconfig) c where c like 'search\_path=%') p on true
where f.prosqlbody is null                              -- whose names were resolved when it was made
  and coalesce(p.path !~ ',\s*"?pg_temp"?$', true)
  and exists (select from bound where has_database_privilege(oid, current_database(), 'temporary'))
  and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = f.oid and d.deptype = 'e')
order by 1, 2
