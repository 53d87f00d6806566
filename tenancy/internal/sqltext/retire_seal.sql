-- Whether the key $1 is known and whether there are others to require; if so it is deleted.
with state as (
    select bool_or(kid = $1) as known, coalesce(bool_or(kid <> $1 and required), false) or not bool_or(required) as others
    from tenancy.seal_key
), retired as (
    delete from tenancy.seal_key where kid = $1 and (select others from state)
)
select coalesce(known, false), coalesce(others, false) from state
