package guard

// own are the objects of this library that break a rule on purpose.
func own() []Exception {
	return []Exception{
		{"T04", "tenancy.outbox.tenancy_app_insert", "bounds each event, which is written one row at a time by few statements"},
		{"T07", "tenancy.outbox", "read by transaction id only, in commit order over all tenants"},
		{"T12", "tenancy.tenant_id()", "verifies the seal with keys that the app role must not read"},
		{"T12", "tenancy.admit(tenant text)", "tells whether the tenant of a name is being moved or has been, and makes the caller's transaction read-only"},
		{"T08", "registry.names_pkey", "a slug, a domain or a key's prefix leads to one tenant; that it is taken is what a claim asks"},
		{"T12", "registry.resolve(kind text, name text)", "finds the tenant of one exact name, before there is a tenant; tells id, slug, plan and state"},
		{"T12", "registry.memberships(user_id text)", "lists the tenants of one user, before there is a tenant"},
		{"T12", "tenancy.seal_state()", "tells whether there are such keys, and nothing else of them"},

		{"T07", "registry.tenants", "its tenant_id is its primary key, id"},
		{"T08", "registry.tenants_pkey", "the row is the tenant"},
	}
}
