package httpx

import (
	"context"
	"net/http"
)

// maxTenantID bounds what a resolver can put into contexts, keys and logs.
const maxTenantID = 255

// Tenant finds the tenant of each request and puts it into the context with withTenant (tenancy.WithID). It fails closed: when
// resolve returns an error, that error is answered (see [WriteError]); when it returns "", or more than 255 bytes, the answer is a
// 404 problem. A tenant that the caller may not see should look like one that does not exist, so return "" for it.
// Tenant panics when an argument is nil.
func Tenant(resolve func(*http.Request) (string, error), withTenant func(context.Context, string) context.Context) Middleware {
	if resolve == nil || withTenant == nil {
		panic("httpx: Tenant needs both functions")
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r, info := withInfo(r)
			id, err := resolve(r)
			if err == nil && (id == "" || len(id) > maxTenantID) {
				err = &Problem{Status: http.StatusNotFound, Code: "tenant_not_found", Detail: "There is no such tenant.", Err: ErrNoTenant}
			}
			if err != nil {
				WriteError(w, r, err)
				return
			}
			set(info, &info.tenant, id)
			r = r.WithContext(withTenant(r.Context(), id))
			defer func() { info.sawRoute(r.Pattern) }()
			next.ServeHTTP(w, r)
		})
	}
}
