package web

import (
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/ashlar-go/ashlar/httpx"
)

// demoSite is a site to watch in the local demo: it works until it is told to
// break by PUT /demo/site?up=false.
type demoSite struct{ broken atomic.Bool }

func (s *demoSite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		if s.broken.Load() {
			http.Error(w, "the demo site is broken", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "the demo site works")
	case http.MethodPut:
		up := r.URL.Query().Get("up")
		if up != "true" && up != "false" {
			httpx.WriteError(w, r, httpx.NewProblem(http.StatusBadRequest, "invalid", "Say ?up=true or ?up=false."))
			return
		}
		s.broken.Store(up == "false")
		w.WriteHeader(http.StatusNoContent)
	default:
		w.Header().Set("Allow", "GET, HEAD, PUT")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	}
}
