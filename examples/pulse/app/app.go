package app

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/ashlar-go/ashlar/analytics"
	"github.com/ashlar-go/ashlar/billing"
	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/examples/pulse/probe"
	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/notify"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/record"
	"github.com/ashlar-go/ashlar/tenancy/registry"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations are pulse's own tables; those of tenancy, registry and billing
// come before them.
func Migrations() (fs.FS, error) { return fs.Sub(migrations, "migrations") }

// Deps are the blocks that the app is made of. All but Logger are required.
type Deps struct {
	DB        *tenancy.DB
	Queue     *jobs.Queue
	Hub       *cache.Hub
	Provider  billing.Provider
	Plans     billing.Store
	Mail      notify.EmailSender
	SMS       notify.SMSSender
	Analytics *analytics.Analytics
	Prober    *probe.Prober
	Logger    *slog.Logger // nil: slog.Default()
	Base      string       // the URL of this server, for links in alerts
	Cursors   []byte       // seals the cursors of pages, 32 bytes or more; nil: this process reads its own only
}

// App is pulse. Its methods are safe for concurrent use.
type App struct {
	Deps
	// Billing answers what a team's plan allows; its webhook has to be mounted.
	Billing *billing.Billing

	// Registry has the teams and their API keys. Keys finds the team of a
	// request by its key, Pages by the slug in the path of a status page.
	Registry    *registry.Registry
	Keys, Pages *registry.Resolver

	notifier *notify.Notifier
	contacts *record.Table[Contact]
}

// New puts the app together and registers its jobs. It starts nothing.
func New(d Deps) (*App, error) {
	if d.Logger == nil {
		d.Logger = slog.Default()
	}
	a := &App{Deps: d, contacts: contacts}
	if d.Cursors != nil {
		a.contacts = contacts.WithCursorKeys(d.Cursors)
	}
	var err error
	a.Billing, err = billing.New(catalog(), d.Provider, d.Plans, &billing.Options{Tenant: tenancy.IDFrom, Usage: a.usage})
	if err != nil {
		return nil, fmt.Errorf("billing: %w", err)
	}
	if a.notifier, err = newNotifier(d); err != nil {
		return nil, fmt.Errorf("notify: %w", err)
	}
	if a.Registry, err = registry.New(d.DB, &registry.Options{Roles: roles()}); err != nil {
		return nil, err
	}
	if a.Keys, err = a.Registry.Resolver(nil, registry.ByAPIKey()); err != nil {
		return nil, err
	}
	a.Pages, err = a.Registry.Resolver(&registry.ResolverOptions{Shared: d.Hub.Shared()}, registry.ByPath("/status/"))
	if err != nil {
		return nil, err
	}
	return a, a.registerJobs()
}

// The errors that the API tells apart, beyond those of the blocks.
var (
	ErrNotFound = errors.New("there is no such thing in this team")
)
