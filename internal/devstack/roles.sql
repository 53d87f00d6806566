-- Login roles for programs, members of the group roles that migrations grant
-- to. None of them bypasses row-level security.
do $$
declare
	r text;
begin
	foreach r in array array['tenancy_app', 'tenancy_system'] loop
		if not exists (select from pg_roles where rolname = r) then
			execute format('create role %I nologin', r);
		end if;
	end loop;
	if not exists (select from pg_roles where rolname = 'ashlar_owner') then
		create role ashlar_owner login createdb createrole nosuperuser;
	end if;
	if not exists (select from pg_roles where rolname = 'ashlar_app') then
		create role ashlar_app login nosuperuser nobypassrls;
	end if;
	if not exists (select from pg_roles where rolname = 'ashlar_system') then
		create role ashlar_system login nosuperuser nobypassrls;
	end if;
	if current_setting('server_version_num')::int >= 160000 then
		-- What a role with CREATEROLE could do before: grant itself a group for
		-- the time of a migration. It acts as neither.
		grant tenancy_app, tenancy_system to ashlar_owner with admin option;
		execute 'grant tenancy_app, tenancy_system to ashlar_owner with inherit false, set false';
	end if;
	if not pg_has_role('ashlar_app', 'tenancy_app', 'member') then
		grant tenancy_app to ashlar_app;
	end if;
	if not pg_has_role('ashlar_system', 'tenancy_system', 'member') then
		grant tenancy_system to ashlar_system;
	end if;
end
$$;
