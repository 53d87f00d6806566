package httpx

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strconv"
)

// Endpoint is a typed handler made by [Read] or [Write]. It is an http.Handler for any mux, and it can describe itself.
type Endpoint struct {
	op    Operation
	serve func(http.ResponseWriter, *http.Request) error
}

var _ http.Handler = (*Endpoint)(nil)

// Operation describes an [Endpoint], for documentation and for tests over all routes.
type Operation struct {
	In, Out reflect.Type // the types of the handler function
	Write   bool         // made by Write
	Status  int          // of a successful answer
	Params  []Param      // from path, query and header; the caller must not change them
	Body    bool         // the rest of In comes from a JSON body
	Cached  bool         // Read with a cache
}

// Describe returns what the endpoint takes and answers.
func (e *Endpoint) Describe() Operation { return e.op }

// ServeHTTP answers the request; errors become problems as [WriteError] says.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r, info := withInfo(r)
	info.sawRoute(r.Pattern)
	if err := e.serve(w, r); err != nil {
		WriteError(w, r, err)
	}
}

// validate asks an input that can check itself.
func validate(in any) error {
	v, ok := in.(Validator)
	if !ok {
		return nil
	}
	err := v.Validate()
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[interface {
		error
		HTTPStatus() int
	}](err); ok {
		return err
	}
	return &Problem{Status: http.StatusUnprocessableEntity, Code: "invalid_input", Detail: err.Error(), Err: err}
}

// encode returns out as JSON. A nil slice is an empty list, as every client expects.
func encode(out any) ([]byte, error) {
	if v := reflect.ValueOf(out); v.Kind() == reflect.Slice && v.IsNil() && v.Type().Elem().Kind() != reflect.Uint8 {
		return []byte("[]"), nil
	}
	return json.Marshal(out)
}

// send writes a complete JSON answer; HEAD gets its headers only.
func send(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	h := w.Header()
	if status != http.StatusNoContent {
		h.Set("Content-Type", "application/json")
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(status)
	if r.Method != http.MethodHead && status != http.StatusNoContent {
		_, _ = w.Write(body) // the client is gone if this fails
	}
}

// checkTenant applies a tenant seam: a set one that knows no tenant is an error before anything else happens.
func checkTenant(ctx context.Context, tenant func(context.Context) (string, bool)) (string, error) {
	if tenant == nil {
		return "", nil
	}
	id, ok := tenant(ctx)
	if !ok || id == "" {
		return "", ErrNoTenant
	}
	return id, nil
}
