-- What table $1 is: its columns, unique indexes and constraints.
select 'column' as kind, a.attname::text as name, array[a.attname::text] as columns, format_type(a.atttypid, null) as type,
    a.attnotnull as required, a.atthasdef or a.attidentity <> '' as made
from pg_attribute a
where a.attrelid = to_regclass($1) and a.attnum > 0 and not a.attisdropped
union all
select 'unique', c.relname::text, array(
        select coalesce(a.attname::text, '(expression)')
        from unnest(i.indkey::int2[]) with ordinality as k (attnum, n)
        left join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
        where k.n <= i.indnkeyatts
        order by k.n),
    coalesce(pg_get_expr(i.indpred, i.indrelid), ''), i.indisprimary, false
from pg_index i join pg_class c on c.oid = i.indexrelid
where i.indrelid = to_regclass($1) and i.indisunique
union all
select case c.contype when 'c' then 'check' else 'other' end, c.conname::text, array(
        select a.attname::text from unnest(c.conkey) as k join pg_attribute a on a.attrelid = c.conrelid and a.attnum = k),
    '', false, false
from pg_constraint c
where c.conrelid = to_regclass($1) and c.contype in ('c', 'f', 'x')
