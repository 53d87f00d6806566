package notify

import (
	"bytes"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"io"
	"io/fs"
	"path"
	"strings"
	texttemplate "text/template"
)

const (
	layoutDir      = "layout"
	maxTemplate    = 1 << 20
	maxTemplateDir = 1000
)

// content is what a notification says, by channel.
type content struct {
	Subject string `json:"subject,omitempty"`
	Text    string `json:"text,omitempty"` // of the mail or of the text message
	HTML    string `json:"html,omitempty"`
}

// renderer is what html/template and text/template have in common.
type renderer interface {
	Execute(w io.Writer, data any) error
	Name() string
}

// templates are parsed once and then only read, so they are safe to share.
type templates map[string]map[string]renderer // folder → file

// frame is the dot of a layout.
type frame struct {
	Subject string
	Body    any // string, or htmltemplate.HTML in email.html
	To      Recipient
	Kind    string
	Tenant  string
}

func loadTemplates(files fs.FS) (templates, error) {
	set := templates{}
	if files == nil {
		return set, nil
	}
	dirs, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil, fmt.Errorf("notify: Options.Templates: %w", err)
	}
	if len(dirs) > maxTemplateDir {
		return nil, fmt.Errorf("notify: Options.Templates has more than %d folders", maxTemplateDir)
	}
	for _, dir := range dirs {
		if !dir.IsDir() {
			continue
		}
		set[dir.Name()], err = loadFolder(files, dir.Name())
		if err != nil {
			return nil, fmt.Errorf("notify: Options.Templates: %w", err)
		}
	}
	return set, nil
}

func loadFolder(files fs.FS, dir string) (map[string]renderer, error) {
	allowed := "subject.txt email.txt email.html sms.txt"
	if dir == layoutDir {
		allowed = "email.txt email.html"
	} else if err := checkKind(dir); err != nil {
		return nil, err
	}
	entries, err := fs.ReadDir(files, dir)
	if err != nil {
		return nil, err
	}
	folder := map[string]renderer{}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		// A misspelt file name would silently send nothing.
		if e.IsDir() || !strings.Contains(" "+allowed+" ", " "+e.Name()+" ") {
			return nil, fmt.Errorf("%s: unknown file (known: %s)", name, allowed)
		}
		if folder[e.Name()], err = parseFile(files, name); err != nil {
			return nil, err
		}
	}
	if dir == layoutDir {
		return folder, nil
	}
	mail := folder["email.txt"] != nil
	switch {
	case len(folder) == 0:
		return nil, fmt.Errorf("%s: empty folder", dir)
	case folder["email.html"] != nil && !mail:
		return nil, fmt.Errorf("%s: email.html needs an email.txt beside it", dir)
	case mail != (folder["subject.txt"] != nil):
		return nil, fmt.Errorf("%s: email.txt and subject.txt come together", dir)
	}
	return folder, nil
}

func parseFile(files fs.FS, name string) (renderer, error) {
	f, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxTemplate+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxTemplate:
		return nil, fmt.Errorf("%s is longer than %d bytes", name, maxTemplate)
	case path.Ext(name) == ".html":
		return htmltemplate.New(name).Option("missingkey=error").Parse(string(text))
	}
	return texttemplate.New(name).Option("missingkey=error").Parse(string(text))
}

// render gives the content of n for every channel it has. It does no I/O.
func (s templates) render(n Notification, kind, tenant string, to Recipient) (map[Channel]content, error) {
	switch m := n.(type) {
	case Message:
		return m.render(), nil
	case *Message:
		return m.render(), nil
	}
	folder, ok := s[kind]
	if !ok || kind == layoutDir {
		return nil, &Error{Op: "notify: render", Kind: ErrTemplate, Err: fmt.Errorf("Options.Templates has no folder %q", kind)}
	}
	out := map[Channel]content{}
	fr := frame{To: to, Kind: kind, Tenant: tenant}
	if folder["email.txt"] != nil {
		c, err := s.renderMail(folder, fr, n)
		if err != nil {
			return nil, err
		}
		out[ChannelEmail] = c
	}
	if sms := folder["sms.txt"]; sms != nil {
		text, err := execute(sms, n)
		if err != nil {
			return nil, err
		}
		out[ChannelSMS] = content{Text: strings.TrimSpace(text)}
	}
	return out, nil
}

func (s templates) renderMail(folder map[string]renderer, fr frame, n Notification) (c content, err error) {
	subject, err := execute(folder["subject.txt"], n)
	if err != nil {
		return c, err
	}
	// Only the file's own last line break goes; one inside came with the data
	// and is refused by Email.Validate.
	fr.Subject = strings.TrimSpace(subject)
	text, err := execute(folder["email.txt"], n)
	if err != nil {
		return c, err
	}
	fr.Body = text
	if text, err = s.wrap("email.txt", fr, text); err != nil {
		return c, err
	}
	c = content{Subject: fr.Subject, Text: strings.TrimSpace(text) + "\n"}
	if page := folder["email.html"]; page != nil {
		html, err := execute(page, n)
		if err != nil {
			return c, err
		}
		fr.Body = htmltemplate.HTML(html) // already escaped by html/template
		if c.HTML, err = s.wrap("email.html", fr, html); err != nil {
			return c, err
		}
	}
	return c, nil
}

func (s templates) wrap(name string, fr frame, body string) (string, error) {
	layout := s[layoutDir][name]
	if layout == nil {
		return body, nil
	}
	return execute(layout, fr)
}

func (m Message) render() map[Channel]content {
	out := map[Channel]content{}
	if m.Subject != "" || m.Text != "" || m.HTML != "" {
		out[ChannelEmail] = content{Subject: m.Subject, Text: m.Text, HTML: m.HTML}
	}
	if m.SMS != "" {
		out[ChannelSMS] = content{Text: m.SMS}
	}
	return out
}

func execute(t renderer, data any) (string, error) {
	w := boundedBuffer{max: maxBody}
	if err := t.Execute(&w, data); err != nil {
		if errors.Is(err, errTooLong) {
			err = fmt.Errorf("%s: %w", t.Name(), errTooLong)
		}
		return "", &Error{Op: "notify: render", Kind: ErrTemplate, Err: err}
	}
	return w.String(), nil
}

var errTooLong = fmt.Errorf("output is longer than %d bytes", maxBody)

// boundedBuffer stops a template that never ends.
type boundedBuffer struct {
	bytes.Buffer
	max int
}

func (b *boundedBuffer) Write(p []byte) (int, error) {
	if b.Len()+len(p) > b.max {
		return 0, errTooLong
	}
	return b.Buffer.Write(p)
}

func checkKind(kind string) error {
	if kind == "" || len(kind) > 64 {
		return fmt.Errorf("kind %.64q is not 1 to 64 bytes long", kind)
	}
	for i := range len(kind) {
		if c := kind[i]; !isAlnum(c) && c != '.' && c != '_' && c != '-' || 'A' <= c && c <= 'Z' {
			return fmt.Errorf("kind %q has a character other than lower-case letters, digits and ._-", kind)
		}
	}
	return nil
}
