package web

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/ashlar-go/ashlar/examples/pulse/app"
	"github.com/ashlar-go/ashlar/httpx"
	"github.com/ashlar-go/ashlar/httpx/ratelimit"
	"github.com/ashlar-go/ashlar/tenancy"
)

// Limits are how often one may ask. They go on in this process while their
// store is away.
type Limits struct {
	signUp  httpx.Middleware // by address
	address httpx.Middleware // of those who come with an API key, before it is looked up
	api     httpx.Middleware // by team
}

// NewLimits makes the limits of pulse over a store.
func NewLimits(a *app.App, store ratelimit.Store, log *slog.Logger) (*Limits, error) {
	signUp, err := ratelimit.New(store, "signup", []ratelimit.Limit{{Rate: 20, Per: time.Hour}}, &ratelimit.Options{Logger: log})
	if err != nil {
		return nil, err
	}
	// As many as the largest plan gives a team, which may have one address. A guess at a key costs a look into the database.
	address, err := ratelimit.New(store, "address", []ratelimit.Limit{{Rate: 6000, Per: time.Minute}}, &ratelimit.Options{Logger: log})
	if err != nil {
		return nil, err
	}
	api, err := ratelimit.New(store, "api", []ratelimit.Limit{{Rate: 600, Per: time.Minute}}, &ratelimit.Options{
		Tenant: tenancy.IDFrom, Logger: log,
		Limits: func(ctx context.Context) ([]ratelimit.Limit, error) {
			n, err := a.RequestsPerMinute(ctx)
			return []ratelimit.Limit{{Rate: n, Per: time.Minute}}, err
		},
	})
	if err != nil {
		return nil, err
	}
	byIP := &ratelimit.MiddlewareOptions{Key: ratelimit.ByClientIP}
	return &Limits{signUp: signUp.Middleware(byIP), address: address.Middleware(byIP), api: api.Middleware(nil)}, nil
}

// ofSignUp, ofAddress and ofTeam are nothing without limits.
func (l *Limits) ofSignUp(next http.Handler) http.Handler {
	if l == nil {
		return next
	}
	return l.signUp(next)
}

func (l *Limits) ofAddress(next http.Handler) http.Handler {
	if l == nil {
		return next
	}
	return l.address(next)
}

func (l *Limits) ofTeam(next http.Handler) http.Handler {
	if l == nil {
		return next
	}
	return l.api(next)
}
