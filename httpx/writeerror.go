package httpx

import (
	"context"
	"errors"
	"net/http"
	"strconv"
)

// WriteError answers a request with the problem that err stands for. Read and Write use it; so can any other handler.
// The first that applies decides:
//
//  1. a mapper given to [Problems], the nearest first;
//  2. a [*Problem] in the chain of err;
//  3. [FieldErrors]: 422, listing the fields;
//  4. *http.MaxBytesError: 413;
//  5. context.DeadlineExceeded, or a cancellation by shutdown: 503 with Retry-After; a client that went away: 499, for the log;
//  6. an error with a method HTTPStatus() int in the chain: that status, without its text;
//  7. anything else: 500, without its text, reported to [RecoverOptions].Errors.
//
// If the response has begun (as far as [AccessLog], [Recover] or another middleware of this package can tell), no honest answer is
// possible: WriteError panics with http.ErrAbortHandler, which breaks the connection.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	info := InfoFrom(r.Context())
	p, known := toProblem(r.Context(), info, err)
	var cause error
	if p.status() >= 500 {
		cause = err
	}
	info.fail(p.Code, cause)
	if p.status() >= 500 && !known {
		info.report(r.Context(), err, nil)
	}
	if started(w) {
		panic(http.ErrAbortHandler)
	}
	writeProblem(w, r, p)
}

// toProblem returns the problem for err, and whether it is an expected condition that nobody needs to be told about.
func toProblem(ctx context.Context, info *Info, err error) (*Problem, bool) {
	for _, mapper := range get(info, &info.mappers) {
		if p := mapper(err); p != nil {
			return p, p.status() != http.StatusInternalServerError
		}
	}
	if p, ok := errors.AsType[*Problem](err); ok {
		return p, p.status() != http.StatusInternalServerError
	}
	if fields, ok := errors.AsType[FieldErrors](err); ok {
		return &Problem{Status: http.StatusUnprocessableEntity, Code: "invalid_input", Errors: fields}, true
	}
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return NewProblem(http.StatusRequestEntityTooLarge, "body_too_large",
			"The body must not have more than "+strconv.FormatInt(large.Limit, 10)+" bytes."), true
	}
	if p := interrupted(ctx, err); p != nil {
		return p, true
	}
	if e, ok := errors.AsType[interface {
		error
		HTTPStatus() int
	}](err); ok {
		p := &Problem{Status: e.HTTPStatus()}
		return p, p.status() != http.StatusInternalServerError
	}
	_, reported := errors.AsType[reportedError](err)
	return &Problem{Status: http.StatusInternalServerError, Code: "internal"}, reported
}

// interrupted recognizes the ends of the request's own context.
func interrupted(ctx context.Context, err error) *Problem {
	retry := http.Header{"Retry-After": {"1"}}
	if errors.Is(err, context.DeadlineExceeded) {
		return &Problem{Status: http.StatusServiceUnavailable, Code: "timeout", Detail: "The request took too long.", Header: retry}
	}
	if !errors.Is(err, context.Canceled) || ctx.Err() == nil {
		return nil
	}
	if errors.Is(context.Cause(ctx), ErrShutdown) {
		return &Problem{Status: http.StatusServiceUnavailable, Code: "unavailable", Detail: "The server is shutting down.", Header: retry}
	}
	if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return &Problem{Status: http.StatusServiceUnavailable, Code: "timeout", Detail: "The request took too long.", Header: retry}
	}
	return &Problem{Status: 499, Title: "Client Closed Request", Code: "canceled"}
}
