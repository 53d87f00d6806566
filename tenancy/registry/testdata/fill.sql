-- Rows for the tenant of the transaction; $1 makes those of two tenants differ where they must.
with c as (insert into app.customers (id, name) select 'c' || i, 'Customer ' || i || ' of ' || $1 from generate_series(1, 40) i),
f as (insert into app.folders (id, parent) select i, nullif((i - 1) / 2, 0) from generate_series(1, 200) i order by i desc),
n as (insert into app.nodes (id, up) select i, case i when 1 then 200 else i - 1 end from generate_series(1, 200) i),
t as (insert into app.teams (id) select i from generate_series(1, 5) i),
d as (insert into app.devices (id, serial) select md5($1 || i)::uuid, $1 || i from generate_series(1, 20) i),
o as (insert into app."Odd table" ("from", "a ""b""") select $1 || i, nullif(i, 3) from generate_series(1, 5) i),
s as (insert into app.secrets (id, hint, secret) select i, 'hint', 'geheim' from generate_series(1, 3) i)
insert into app.kinds select tenancy.tenant_id(), k.* from (values
    (1, true, 1::smallint, 9007199254740993, 1.10, 'NaN'::real, 0.1::float8, e'line\nbreak \\ "quote" \u0001\u0002 ü 💶 \\.', 'äöü', 'ab', '\x00ff'::bytea,
        '2024-02-29'::date, '23:59:59.999999'::time, 'infinity'::timestamp, '2024-07-01 12:00:00.123456+02'::timestamptz,
        '1 mon -2 days 03:04:05.678'::interval, md5($1)::uuid, e'{"a":\n 1,  "a": "x"}'::json, '{"b": [1, null, "\\n"]}'::jsonb, '{{1,2},{3,null}}'::int[],
        array['', null, 'a,"b"', e'\\'], 'bad'::app.mood, 50::app.percent, row(1, 'x,"y"')::app.pair,
        '["2024-01-01 00:00+00","2024-02-01 00:00+00")'::tstzrange, '10.0.0.0/8'::inet, b'10101', '12.50'::money, '<a>ü</a>'::xml),
    (2, null, null, null, null, null, null, '', '', '', '', '-infinity', null, null, null, null, null, null, 'null'::jsonb, '{}', '{}', null, null,
        null, 'empty', null, null, null, null)
) k
