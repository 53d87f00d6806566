package devclickhouse

import (
	"cmp"
	"io"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
)

// external is a table that a request brings along: a part of its form, with
// <name>_structure and perhaps <name>_format in the query string.
type external struct {
	name, structure, format string
	open                    func() (io.ReadCloser, error)
}

// maxForm is how much of a form is kept in memory; of parts with a file name
// the rest goes to files.
const maxForm = 32 << 20

// readExternal takes the query and the tables out of a form.
func readExternal(httpReq *http.Request, req *request) (string, []external, error) {
	if err := httpReq.ParseMultipartForm(maxForm); err != nil {
		return "", nil, bodyError(err)
	}
	form, values := httpReq.MultipartForm, httpReq.URL.Query()
	var tables []external
	for key := range values {
		name, ok := strings.CutSuffix(key, "_structure")
		if !ok {
			continue
		}
		open := part(form, name)
		if open == nil {
			return "", nil, newException(codeBadRequest, "BAD_ARGUMENTS", "there is %s but no part %q in the form", key, name)
		}
		format := name + "_format"
		req.settings = slices.DeleteFunc(req.settings, func(p param) bool { return p.name == key || p.name == format })
		tables = append(tables, external{name, values.Get(key), cmp.Or(values.Get(format), defaultFormat), open})
	}
	query := req.query
	if q := form.Value["query"]; len(q) > 0 {
		query = strings.TrimPrefix(query+"\n"+q[0], "\n")
	}
	return query, tables, nil
}

// part returns the opener of a form's part, or nil. A part whose file name is
// empty is a value for package multipart.
func part(form *multipart.Form, name string) func() (io.ReadCloser, error) {
	if v := form.Value[name]; len(v) > 0 {
		return func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(v[0])), nil }
	}
	if f := form.File[name]; len(f) > 0 {
		return func() (io.ReadCloser, error) { return f[0].Open() }
	}
	return nil
}

// load makes the table in the request's session.
func (t external) load(c *conn) error {
	f, err := t.open()
	if err != nil {
		return bodyError(err)
	}
	defer f.Close()
	name := quoteName(t.name)
	if _, _, err := c.run("CREATE TEMPORARY TABLE "+name+" ("+t.structure+")", defaultFormat, nil); err != nil {
		return err
	}
	buf := make([]byte, piece)
	_, err = c.insertStream("INSERT INTO "+name, t.format, nil, func() ([]byte, error) {
		n, err := fill(f, buf)
		return buf[:n], err
	})
	return err
}
