package web

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/ashlar-go/ashlar/examples/pulse/app"
	"github.com/ashlar-go/ashlar/httpx"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/record"
	"github.com/ashlar-go/ashlar/tenancy/registry"
)

// What an API key has to be allowed for these pages. Changes ask the registry,
// which wants members.write and that nobody gives more than it has.
const (
	readMembers = "members.read"
	readAudit   = "audit.read"
)

// pageSize is how many members, invitations or entries a page has.
const pageSize = 50

// teamPages are what a team sees of itself in a browser, without any script:
// who belongs to it, and who did what. A browser sends the API key as the
// password of HTTP Basic, under any name.
func teamPages(mux *http.ServeMux, a *app.App, l *Limits) {
	changes := http.NewCrossOriginProtection() // a browser would send the key along with another site's form
	page := func(permission string, h http.Handler) http.Handler {
		return l.ofAddress(signedIn(a, permission, l.ofTeam(h)))
	}
	mux.Handle("GET /team/members", page(readMembers, membersPage(a)))
	mux.Handle("POST /team/members", changes.Handler(page(readMembers, changeMembers(a))))
	mux.Handle("GET /team/audit", page(readAudit, auditPage(a)))
	mux.Handle("GET /team", http.RedirectHandler("/team/members", http.StatusSeeOther))
}

// signedIn lets those in whose key has a permission.
func signedIn(a *app.App, permission string, next http.Handler) http.Handler {
	next = known(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, key, ok := r.BasicAuth(); ok {
			r = r.Clone(r.Context())
			r.Header.Set("Authorization", "Bearer "+key)
		}
		ctx, err := a.Keys.Resolve(r)
		if p := problem(err); p != nil && p.Status == http.StatusUnauthorized || errors.Is(err, registry.ErrMalformed) {
			w.Header().Set("WWW-Authenticate", `Basic realm="pulse: any name, and an API key as the password", charset="UTF-8"`)
			http.Error(w, "this page is for those with an API key of the team", http.StatusUnauthorized)
			return
		}
		if err != nil {
			httpx.WriteError(w, r, err)
			return
		}
		if key, _ := registry.KeyFrom(ctx); !key.Can(permission) {
			httpx.WriteError(w, r, httpx.NewProblem(http.StatusForbidden, "forbidden", "This API key may not "+permission+"."))
			return
		}
		if !storable(r) {
			httpx.WriteError(w, r, httpx.NewProblem(http.StatusBadRequest, "invalid", "A value is no text: it has a zero byte or is not UTF-8."))
			return
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// storable tells whether PostgreSQL takes all values of a request as text.
func storable(r *http.Request) bool {
	_ = r.ParseForm() // what it cannot read is not there
	for _, values := range r.Form {
		for _, v := range values {
			if !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
				return false
			}
		}
	}
	return true
}

// nav are the links to the pages that a key may see, the one it sees among them.
type nav struct {
	Page           string // "members" or "audit"
	Members, Audit bool
}

func navOn(ctx context.Context, page string) nav {
	key, _ := registry.KeyFrom(ctx)
	return nav{page, key.Can(readMembers), key.Can(readAudit)}
}

// membersView is the page of members.
type membersView struct {
	Nav         nav
	Team        registry.Tenant
	Members     []registry.Member
	Invitations []registry.Invitation
	Roles       []string // that the key may give and take
	May         bool     // revoke invitations
	Next, Later string   // where the next page of members and of invitations begins; empty: there is none
	After, From string   // where this one begins
	Notice      string   // why a change was refused
}

// MayChange tells whether members of a role have buttons: where the registry
// would refuse whatever is pressed, there is nothing to press.
func (v membersView) MayChange(role string) bool { return slices.Contains(v.Roles, role) }

func membersPage(a *app.App) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		showMembers(w, r, a, http.StatusOK, "")
	})
}

func showMembers(w http.ResponseWriter, r *http.Request, a *app.App, status int, notice string) {
	q := r.URL.Query()
	v, err := members(r.Context(), a, q.Get("after"), q.Get("from"))
	if err != nil {
		httpx.WriteError(w, r, err)
		return
	}
	v.Notice = notice
	html, err := render("members.html", v)
	showAs(w, r, status, html, err)
}

// members reads one page in both lists: behind a member and behind an address.
func members(ctx context.Context, a *app.App, after, from string) (v membersView, err error) {
	key, _ := registry.KeyFrom(ctx)
	v = membersView{Nav: navOn(ctx, "members"), Roles: app.Grants(key), May: key.Can("members.write"), After: after, From: from}
	if v.Team, err = a.Registry.Get(ctx); err != nil {
		return v, err
	}
	v.Members, err = a.Registry.Members(ctx, record.Query{Where: "user_id > $1", Args: []any{after}, Order: "user_id", Limit: pageSize + 1})
	if err != nil {
		return v, err
	}
	if len(v.Members) > pageSize {
		v.Members = v.Members[:pageSize]
		v.Next = v.Members[pageSize-1].UserID
	}
	v.Invitations, err = a.Registry.Invitations(ctx, record.Query{
		Where: "accepted_at is null and revoked_at is null and expires_at > now() and email > $1",
		Args:  []any{from}, Order: "email", Limit: pageSize + 1,
	})
	if len(v.Invitations) > pageSize {
		v.Invitations = v.Invitations[:pageSize]
		v.Later = v.Invitations[pageSize-1].Email
	}
	return v, err
}

// changeMembers does what a button of the page says, and shows it again.
func changeMembers(a *app.App) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, who := r.Context(), r.PostFormValue("who")
		var err error
		switch r.PostFormValue("action") {
		case "role":
			err = a.Registry.SetRole(ctx, who, r.PostFormValue("role"))
		case "remove":
			err = a.Registry.RemoveMember(ctx, who)
		case "revoke":
			err = a.Registry.RevokeInvitation(ctx, who)
		default:
			err = app.ErrNotFound // no such action
		}
		refused := problem(err)
		if errors.Is(err, registry.ErrMalformed) {
			refused = httpx.NewProblem(http.StatusUnprocessableEntity, "invalid", "There is no such role.")
		}
		if refused != nil {
			showMembers(w, r, a, refused.Status, refused.Detail)
			return
		}
		if err != nil {
			httpx.WriteError(w, r, err)
			return
		}
		http.Redirect(w, r, "/team/members?"+r.URL.RawQuery, http.StatusSeeOther)
	})
}

// auditView is a page of the audit log.
type auditView struct {
	Nav     nav
	Team    registry.Tenant
	Entries []auditLine
	Subject string // of all entries, if not empty
	Next    int64  // entries before this one are on the next page; zero: there are none
}

// auditLine is an entry with its changes in the order of their fields.
type auditLine struct {
	tenancy.AuditEntry
	Fields []auditField
}

type auditField struct{ Name, Old, New string } // empty: it was not there, or both: the log leaves it out

func auditPage(a *app.App) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := auditView{Nav: navOn(r.Context(), "audit"), Subject: r.FormValue("subject")}
		before, err := strconv.ParseInt(r.FormValue("before"), 10, 64)
		if err != nil && r.FormValue("before") != "" || before < 0 {
			httpx.WriteError(w, r, httpx.NewProblem(http.StatusBadRequest, "invalid", "before is the number of an entry."))
			return
		}
		if v.Team, err = a.Registry.Get(r.Context()); err != nil {
			httpx.WriteError(w, r, err)
			return
		}
		list, err := a.Registry.AuditLog(r.Context(), registry.AuditQuery{Subject: v.Subject, Before: before, Limit: pageSize + 1})
		if err != nil {
			httpx.WriteError(w, r, err)
			return
		}
		if len(list) > pageSize {
			list = list[:pageSize]
			v.Next = list[pageSize-1].Seq
		}
		for _, e := range list {
			v.Entries = append(v.Entries, auditLine{e, fieldsOf(e)})
		}
		html, err := render("audit.html", v)
		show(w, r, html, err)
	})
}

func fieldsOf(e tenancy.AuditEntry) (fields []auditField) {
	for _, name := range slices.Sorted(maps.Keys(e.Changes)) {
		c := e.Changes[name]
		fields = append(fields, auditField{name, plain(c.Old), plain(c.New)})
	}
	return fields
}

// plain is a value of the log for people: a text without its quotes, unless it
// is empty; everything else as JSON.
func plain(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) == nil && text != "" {
		return text
	}
	return string(value)
}
