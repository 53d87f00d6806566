package httpx

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
)

// Problem is an error answer as RFC 9457 (problem details, application/problem+json) defines it. It is an error: handlers return it.
// All exported fields except Header and Err are shown to the client. Do not change a Problem after it was returned.
type Problem struct {
	// Type is a URI that identifies the kind of problem. "" means "about:blank": the status says it all.
	Type string

	// Title is the same for all problems of a kind. "" means the text of the status.
	Title string

	// Status is the HTTP status. Values outside 400 to 599 mean 500.
	Status int

	// Detail explains this occurrence to the client. "" leaves it out.
	Detail string

	// Code is a stable word for programs, such as "note_not_found". "" leaves it out.
	Code string

	// Errors lists what is wrong with the input.
	Errors []FieldError

	// Extensions are further members, such as {"limit": 5}. The names of the members above cannot be replaced.
	Extensions map[string]any

	// Header is added to the response: Retry-After, WWW-Authenticate.
	Header http.Header

	// Err is the cause, for logs and errors.Is. The client never sees it.
	Err error
}

// NewProblem returns a problem with a status, a code for programs and a detail for people; the last two may be "".
func NewProblem(status int, code, detail string) *Problem {
	return &Problem{Status: status, Code: code, Detail: detail}
}

// Error is for logs; it contains Detail and Err.
func (p *Problem) Error() string {
	s := fmt.Sprintf("httpx: %d %s", p.status(), p.title())
	if p.Code != "" {
		s += " (" + p.Code + ")"
	}
	if p.Detail != "" {
		s += ": " + p.Detail
	}
	if p.Err != nil {
		s += ": " + p.Err.Error()
	}
	return s
}

// Unwrap returns Err.
func (p *Problem) Unwrap() error { return p.Err }

// HTTPStatus returns the status that is sent.
func (p *Problem) HTTPStatus() int { return p.status() }

func (p *Problem) status() int {
	if p.Status < 400 || p.Status > 599 {
		return http.StatusInternalServerError
	}
	return p.Status
}

func (p *Problem) title() string {
	if p.Title != "" {
		return p.Title
	}
	if text := http.StatusText(p.status()); text != "" {
		return text
	}
	return "Error " + strconv.Itoa(p.status())
}

// MarshalJSON writes the members of RFC 9457 first, then code, errors, and the extensions in alphabetical order.
func (p *Problem) MarshalJSON() ([]byte, error) { return p.marshal("") }

func (p *Problem) marshal(requestID string) ([]byte, error) {
	kind := p.Type
	if kind == "" {
		kind = "about:blank"
	}
	b, err := json.Marshal(struct {
		Type      string       `json:"type"`
		Title     string       `json:"title"`
		Status    int          `json:"status"`
		Detail    string       `json:"detail,omitempty"`
		Code      string       `json:"code,omitempty"`
		RequestID string       `json:"request_id,omitempty"`
		Errors    []FieldError `json:"errors,omitempty"`
	}{kind, p.title(), p.status(), p.Detail, p.Code, requestID, p.Errors})
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(p.Extensions)) {
		switch name {
		case "type", "title", "status", "detail", "instance", "code", "request_id", "errors":
			continue
		}
		member, err := json.Marshal(map[string]any{name: p.Extensions[name]})
		if err != nil {
			return nil, fmt.Errorf("httpx: problem extension %q: %w", name, err)
		}
		b = append(b[:len(b)-1], ',')
		b = append(b, member[1:]...)
	}
	return b, nil
}

// FieldError says what is wrong with one part of the input.
type FieldError struct {
	// Pointer is a JSON pointer (RFC 6901) into the body, such as "/lines/0/amount"; "" is the whole body or no body at all.
	Pointer string `json:"pointer,omitempty"`

	// Parameter is the name of a path, query or header parameter.
	Parameter string `json:"parameter,omitempty"`

	// Code is a stable word for programs, such as "required". "" leaves it out.
	Code string `json:"code,omitempty"`

	// Detail is a sentence for people.
	Detail string `json:"detail"`
}

// FieldErrors is what [Validator] returns to name fields; the client gets a 422 problem that lists them. The empty value is an error too:
// return nil, not an empty list, for valid input.
type FieldErrors []FieldError

// Error names the first field.
func (e FieldErrors) Error() string {
	if len(e) == 0 {
		return "httpx: invalid input"
	}
	return fmt.Sprintf("httpx: invalid input: %s%s %s", e[0].Pointer, e[0].Parameter, e[0].Detail)
}

// HTTPStatus returns 422.
func (e FieldErrors) HTTPStatus() int { return http.StatusUnprocessableEntity }

// writeProblem sends p. Headers that described another body are removed, and a status that was held back is forgotten.
func writeProblem(w http.ResponseWriter, r *http.Request, p *Problem) {
	forgetHeld(w)
	h := w.Header()
	for _, name := range [...]string{"Content-Encoding", "Content-Length", "Content-Range", "Etag", "Last-Modified", "Location"} {
		h.Del(name)
	}
	for name, values := range p.Header {
		h[http.CanonicalHeaderKey(name)] = slices.Clone(values)
	}
	info := InfoFrom(r.Context())
	body, err := p.marshal(info.RequestID())
	if err != nil {
		info.report(r.Context(), err, nil)
		body, _ = (&Problem{Status: p.Status, Code: p.Code, Title: p.Title}).marshal(info.RequestID()) // strings and an int always encode
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(p.status())
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the client is gone if this fails
	}
}
