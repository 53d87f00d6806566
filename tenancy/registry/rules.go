package registry

// rule says how export, import and purge treat a table that is not simply a table with rows of a tenant. A text is the
// reason for leaving the table out.
type rule struct {
	export  string
	load    string
	replace bool   // import replaces what Create has made
	keep    string // purge leaves rows
	only    string // purge deletes only rows of this condition on alias t; keep says why
	marks   bool   // exported all the same if ExportOptions.Marks is set, imported if signed, and purged when they have moved
}

// ruleOf returns the rule of a table; the zero rule for all tables but some of the library's own.
func ruleOf(table string) rule {
	const credentials = "credentials: an archive is handed around, and they would work in two places"
	switch table {
	case "tenancy.outbox":
		return rule{export: "transport: the database that it comes from has delivered its events"}
	case "tenancy.inbox":
		return rule{export: "transport: what a copy does is not what the original has done; see ExportOptions.Marks", marks: true}
	case "tenancy.audit":
		return rule{
			load: "append-only: nobody backdates entries",
			keep: "legal record: append-only, entries leave with their month (tenancy.audit_partitions)",
		}
	case "registry.tenants":
		return rule{load: "the tenant that is imported into keeps its own row", keep: "tombstone: the id is not given away again"}
	case "registry.names":
		return rule{
			export: "directory of this database",
			keep:   "tombstone: slugs are not given away again", only: "t.kind <> 'slug'",
		}
	case "registry.members", "registry.settings", "registry.quotas":
		return rule{replace: true}
	case "registry.api_keys", "registry.invitations", "registry.impersonations":
		return rule{export: credentials}
	case "registry.domains":
		return rule{export: "a host belongs to one tenant, who proves it where it is served"}
	}
	return rule{}
}
