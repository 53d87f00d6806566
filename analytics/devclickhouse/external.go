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
// <name>_structure and <name>_format in the query string.
type external struct {
	name, structure, format string
	file                    *multipart.FileHeader
}

// maxForm is how much of a form is kept in memory; the rest goes to files.
const maxForm = 32 << 20

// readExternal takes the query and the tables out of a form.
func readExternal(httpReq *http.Request, req *request) (string, []external, error) {
	if err := httpReq.ParseMultipartForm(maxForm); err != nil {
		return "", nil, bodyError(err)
	}
	form := httpReq.MultipartForm
	var tables []external
	for name, files := range form.File {
		t := external{name: name, file: files[0], format: defaultFormat}
		for _, s := range []struct {
			suffix string
			into   *string
		}{{"_structure", &t.structure}, {"_format", &t.format}} {
			full := name + s.suffix
			*s.into = cmp.Or(httpReq.URL.Query().Get(full), *s.into)
			req.settings = slices.DeleteFunc(req.settings, func(p param) bool { return p.name == full })
		}
		if t.structure == "" {
			return "", nil, newException(codeBadRequest, "BAD_ARGUMENTS", "external table %q comes without %s_structure", name, name)
		}
		tables = append(tables, t)
	}
	query := req.query
	if q := form.Value["query"]; len(q) > 0 {
		query = strings.TrimPrefix(query+"\n"+q[0], "\n")
	}
	return query, tables, nil
}

// load makes the table in the request's session.
func (t external) load(c *conn) error {
	f, err := t.file.Open()
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
		n, err := fill(io.Reader(f), buf)
		return buf[:n], err
	})
	return err
}
