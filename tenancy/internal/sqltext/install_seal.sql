insert into tenancy.seal_key as k (kid, inner_pad, outer_pad, required) values ($1, $2, $3, $4)
on conflict (kid) do update set required = k.required or excluded.required
where k.inner_pad = excluded.inner_pad and k.outer_pad = excluded.outer_pad
