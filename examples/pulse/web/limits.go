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
	signUp httpx.Middleware // by address
	api    httpx.Middleware // by team
}

// NewLimits makes the limits of pulse over a store.
func NewLimits(a *app.App, store ratelimit.Store, log *slog.Logger) (*Limits, error) {
	signUp, err := ratelimit.New(store, "signup", []ratelimit.Limit{{Rate: 20, Per: time.Hour}}, &ratelimit.Options{Logger: log})
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
	return &Limits{
		signUp: signUp.Middleware(&ratelimit.MiddlewareOptions{Key: ratelimit.ByClientIP}),
		api:    api.Middleware(nil),
	}, nil
}

// ofAddress and ofTeam are nothing without limits.
func (l *Limits) ofAddress(next http.Handler) http.Handler {
	if l == nil {
		return next
	}
	return l.signUp(next)
}

func (l *Limits) ofTeam(next http.Handler) http.Handler {
	if l == nil {
		return next
	}
	return l.api(next)
}
