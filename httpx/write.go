package httpx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"strings"
	"time"
)

// WriteOptions configures [Write]; nil and the zero value are ready for use.
type WriteOptions struct {
	// Cache drops the answers of [Read] that carry one of Tags, after the commit. Nil means nothing is cached.
	Cache Invalidator

	// Tags are what fn changes. {name} stands for a JSON member of the output or else a path or query parameter: "note:{id}".
	Tags []string

	// Status of the answer. Zero means 201 with Location, 204 when Out is struct{}, and otherwise 200.
	Status int

	// Location is the URL of what was created, with names as in Tags: "/notes/{id}". "" means no Location header.
	Location string

	// MaxBody bounds the body in bytes. Zero means what [BodyLimit] set, or 1 MiB; negative means no limit.
	MaxBody int64

	// Tenant refuses requests without a tenant before any work. Nil means that only the unit of work asks.
	Tenant func(context.Context) (id string, ok bool)

	// Logger receives failures of Cache, which cannot fail the request any more. Nil means slog.Default().
	Logger *slog.Logger
}

// invalidateWithin bounds the invalidation after a commit, when the request itself may be over.
const invalidateWithin = 5 * time.Second

// Write makes an endpoint of fn for POST, PUT, PATCH and DELETE. In is decoded from a JSON body that is read strictly: application/json (else
// 415), within the limit (413), one value, nested at most 32 deep, valid UTF-8 (400), each member declared, spelled exactly, of the right type
// and present once (422, listing all with JSON pointers). Fields with path, query or header tags are filled as in [Read] and must
// carry json:"-". An In without JSON members needs no body. If In is a [Validator], it is asked before fn.
//
// fn runs inside db.InTx, and its output is encoded inside too: an answer that cannot be encoded rolls back. When InTx repeats fn, fn
// gets a freshly decoded In. A nil db means no transaction. After the commit the cached answers that depend on Tags are dropped, then the
// answer is sent; if dropping fails, that is logged and reported, and readers see the old state until its Fresh and Stale are over.
//
// Write panics when In's tags, Tags, Location or opts cannot work.
func Write[In, Out any](db Transactor, fn func(context.Context, In) (Out, error), opts *WriteOptions) *Endpoint {
	if opts == nil {
		opts = &WriteOptions{}
	}
	in, out := reflect.TypeFor[In](), reflect.TypeFor[Out]()
	e := &writer{opts: *opts, db: db, binder: newBinder(in, true), shape: shapeOf(in), status: opts.Status}
	e.body = e.shape.kind != shapeObject || len(e.shape.fields) > 0
	e.tags = newTemplates(opts.Tags, e.binder, out)
	e.location = newTemplate(opts.Location, e.binder, out)
	switch {
	case fn == nil:
		panic("httpx: Write needs a function")
	case opts.Cache == nil && len(opts.Tags) > 0:
		panic("httpx: Write: WriteOptions.Tags need a Cache")
	case opts.Status != 0 && (opts.Status < 200 || opts.Status > 299):
		panic(fmt.Sprintf("httpx: Write: WriteOptions.Status %d is no success", opts.Status))
	case e.status != 0:
	case opts.Location != "":
		e.status = http.StatusCreated
	case out == reflect.TypeFor[struct{}]():
		e.status = http.StatusNoContent
	default:
		e.status = http.StatusOK
	}
	e.run = func(ctx context.Context, decode func(any) error) (res result, err error) {
		in := new(In)
		if err := decode(in); err != nil {
			return result{}, err
		}
		repeated := false
		err = e.inTx(ctx, func(ctx context.Context) error {
			if repeated { // fn may have changed what its first input points to
				in = new(In)
				if err := decode(in); err != nil {
					return err
				}
			}
			repeated = true
			out, err := fn(ctx, *in)
			if err == nil {
				res, err = e.finish(reflect.ValueOf(*in), out)
			}
			return err
		})
		return res, err
	}
	params := (&reader{binder: e.binder}).params()
	return &Endpoint{serve: e.serve, op: Operation{In: in, Out: out, Write: true, Status: e.status, Params: params, Body: e.body}}
}

// result is what is left to do after the commit.
type result struct {
	body     []byte
	tags     []string
	location string
}

// writer is a Write endpoint without its types.
type writer struct {
	opts     WriteOptions
	db       Transactor
	binder   *binder
	shape    *shape
	body     bool
	status   int
	tags     []template
	location template
	run      func(context.Context, func(any) error) (result, error)
}

// finish encodes while the unit of work is still open.
func (e *writer) finish(in reflect.Value, out any) (result, error) {
	body, err := encode(out)
	if err != nil {
		return result{}, fmt.Errorf("httpx: encode the answer: %w", err)
	}
	v := reflect.ValueOf(out)
	return result{body: body, tags: expandAll(e.tags, in, v), location: e.location.expand(in, v, url.PathEscape)}, nil
}

func (e *writer) inTx(ctx context.Context, fn func(context.Context) error) error {
	if e.db == nil {
		return fn(ctx)
	}
	return e.db.InTx(ctx, fn)
}

func (e *writer) serve(w http.ResponseWriter, r *http.Request) error {
	switch r.Method {
	case http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
	default:
		return methodNotAllowed("POST, PUT, PATCH, DELETE")
	}
	if err := negotiate(r); err != nil {
		return err
	}
	if _, err := checkTenant(r.Context(), e.opts.Tenant); err != nil {
		return err
	}
	data, err := e.readBody(w, r)
	if err != nil {
		return err
	}
	res, err := e.run(r.Context(), func(in any) error {
		if data != nil {
			if err := decodeStrict(data, e.shape, in); err != nil {
				return err
			}
		}
		if _, err := e.binder.bind(r, reflect.ValueOf(in).Elem()); err != nil {
			return err
		}
		return validate(in)
	})
	if err != nil {
		return err
	}
	e.invalidate(r.Context(), res.tags)
	if res.location != "" {
		w.Header().Set("Location", res.location)
	}
	w.Header().Set("Cache-Control", "no-store")
	send(w, r, e.status, res.body)
	return nil
}

// readBody returns nil when there is no body and none is needed.
func (e *writer) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if _, limited := r.Body.(*limitedBody); !limited || e.opts.MaxBody != 0 {
		limitBody(w, r, e.opts.MaxBody)
	}
	if r.ContentLength == 0 {
		if e.body {
			return nil, malformed("The body is empty.")
		}
		return nil, nil
	}
	if err := checkContentType(r.Header); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r.Body)
	switch {
	case err == nil && len(data) == 0 && !e.body:
		return nil, nil
	case err == nil:
		return data, nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, &Problem{Status: http.StatusRequestTimeout, Code: "body_too_slow", Detail: "The body did not arrive in time.", Err: err}
	case r.Context().Err() != nil:
		return nil, r.Context().Err()
	}
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, tooLarge
	}
	return nil, &Problem{Status: http.StatusBadRequest, Code: "malformed_body", Detail: "The body cannot be read to its end.", Err: err}
}

// checkContentType refuses what is not plain JSON in UTF-8. Browsers cannot send this type across origins without asking first.
func checkContentType(h http.Header) error {
	mediaType, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	charset := params["charset"]
	if err != nil || mediaType != "application/json" || charset != "" && !strings.EqualFold(charset, "utf-8") {
		p := NewProblem(http.StatusUnsupportedMediaType, "unsupported_media_type", "The body must be application/json.")
		p.Header = http.Header{"Accept": {"application/json"}}
		return p
	}
	if coding := h.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		p := NewProblem(http.StatusUnsupportedMediaType, "unsupported_content_encoding", "The body must not be compressed.")
		p.Header = http.Header{"Accept-Encoding": {"identity"}}
		return p
	}
	return nil
}

// invalidate runs after the commit: the client's going away must not stop it, and its failure must not look like one of the write.
func (e *writer) invalidate(ctx context.Context, tags []string) {
	if len(tags) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), invalidateWithin)
	defer cancel()
	if err := e.opts.Cache.InvalidateTags(ctx, tags...); err != nil {
		err = fmt.Errorf("httpx: committed, but cached answers could not be dropped: %w", err)
		info := InfoFrom(ctx)
		loggerOr(e.opts.Logger).LogAttrs(ctx, slog.LevelError, "invalidate", slog.Any("tags", tags),
			slog.String("request_id", info.RequestID()), slog.String("err", err.Error()))
		info.report(ctx, err, nil)
	}
}
