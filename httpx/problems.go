package httpx

import "net/http"

// Problems makes every error under it a problem: it registers mappers for [WriteError], [Read] and [Write], and replaces the plain
// text pages that http.ServeMux, http.NotFound and http.FileServer write for 404 and 405, keeping their Allow header.
//
// A mapper returns nil for errors that are not its own. Give one per block, in the program that glues them, for example 402 for a
// plan limit. Nested Problems add up, and the mappers nearest to the handler are asked first.
func Problems(mappers ...func(error) *Problem) Middleware {
	for _, m := range mappers {
		if m == nil {
			panic("httpx: Problems: a mapper is nil")
		}
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r, info := withInfo(r)
			if len(mappers) > 0 {
				outer := get(info, &info.mappers)
				set(info, &info.mappers, append(mappers[:len(mappers):len(mappers)], outer...))
			}
			rec := record(w)
			rec.page = func(status int) {
				p := NewProblem(status, "not_found", "There is nothing at this path.")
				if status == http.StatusMethodNotAllowed {
					p = methodNotAllowed(rec.Header().Get("Allow"))
				}
				info.fail(p.Code, nil)
				writeProblem(rec, r, p)
			}
			defer func() { info.sawRoute(r.Pattern) }()
			next.ServeHTTP(rec, r)
			rec.release()
		})
	}
}

func methodNotAllowed(allow string) *Problem {
	p := NewProblem(http.StatusMethodNotAllowed, "method_not_allowed", "")
	if allow != "" {
		p.Detail = "Allowed here: " + allow + "."
		p.Header = http.Header{"Allow": {allow}}
	}
	return p
}
