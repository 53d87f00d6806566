// Package devinbox is a mailbox for development: it takes e-mail and text messages
// instead of a provider and shows them in the browser.
//
// An [Inbox] is a [notify.EmailSender], a [notify.SMSSender] and an [http.Handler],
// mounted anywhere with [http.StripPrefix]. Whoever reaches the handler reads every
// message, sign-in links included: mount it in development only.
//
// # HTTP
//
// GET / is the page; it refreshes itself, works without JavaScript and loads
// nothing from elsewhere. HTML mails are shown in a sandboxed frame without
// scripts, forms and remote images.
//
// GET /messages.json lists what was kept, newest first, for scripts and tests:
//
//	{"total": 2, "messages": [{"id": "…", "channel": "email", "sent_at": "2026-01-02T03:04:05Z",
//	  "key": "…", "kind": "incident.opened", "tenant": "…", "to": "ann@example.com",
//	  "name": "Ann", "subject": "…", "text": "…", "html": "…"}]}
//
// total counts all kept messages. The query parameters to, kind, tenant and
// channel (email, sms) select exact values, q searches in all text, limit bounds
// the list (default and maximum 500). Empty fields are left out. The answer has
// an ETag.
//
// POST /clear removes all messages.
package devinbox

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/ashlar-go/ashlar/notify"
)

// maxBytes bounds the text that is kept, whatever the number of messages.
const maxBytes = 64 << 20

// Options configure [New].
type Options struct {
	// Max is how many messages are kept; the oldest go first. Zero means 500;
	// negative is an error, because an inbox without a limit eats the machine.
	Max int
	// Dir is a directory that keeps the messages, one file each, so that they
	// survive the program, even kill -9; they are not synced to the disk, so the
	// latest may be lost with the power. It is created if missing, and several
	// processes may share it: each shows what the others receive. Files that are
	// not the inbox's are left alone. Empty: memory only.
	Dir string
	// Logger reports files that cannot be read. nil means slog.Default().
	Logger *slog.Logger
}

func (o *Options) max() int {
	if o.Max == 0 {
		return 500
	}
	return o.Max
}

func (o *Options) logger() *slog.Logger {
	if o.Logger == nil {
		return slog.Default()
	}
	return o.Logger
}

// Message is one that the inbox keeps; the JSON form is that of /messages.json.
type Message struct {
	ID      string         `json:"id"`
	Channel notify.Channel `json:"channel"`
	SentAt  time.Time      `json:"sent_at"` // UTC
	Key     string         `json:"key,omitempty"`
	Kind    string         `json:"kind,omitempty"`
	Tenant  string         `json:"tenant,omitempty"`
	To      string         `json:"to"` // e-mail address or phone number
	Name    string         `json:"name,omitempty"`
	Subject string         `json:"subject,omitempty"`
	Text    string         `json:"text,omitempty"`
	HTML    string         `json:"html,omitempty"`
}

func (m *Message) size() int {
	return 512 + len(m.Key) + len(m.To) + len(m.Name) + len(m.Subject) + len(m.Text) + len(m.HTML)
}

// Inbox keeps messages and shows them. Create it with [New]; it is safe for
// concurrent use and needs no closing.
type Inbox struct {
	opts Options
	mux  *http.ServeMux

	mu       sync.Mutex
	messages []*stored // oldest first
	bytes    int
	reported map[string]bool // files that could not be read
}

// stored is a message and the name that orders it, which is also its file's.
type stored struct {
	Message
	file string
}

var (
	_ notify.EmailSender = (*Inbox)(nil)
	_ notify.SMSSender   = (*Inbox)(nil)
	_ http.Handler       = (*Inbox)(nil)
)

// New returns an inbox with the messages of [Options].Dir. opts may be nil.
func New(opts *Options) (*Inbox, error) {
	if opts == nil {
		opts = &Options{}
	}
	if opts.Max < 0 {
		return nil, errors.New("devinbox: Options.Max is negative")
	}
	in := &Inbox{opts: *opts, reported: map[string]bool{}}
	in.mux = in.routes()
	if err := in.openDir(); err != nil {
		return nil, err
	}
	return in, nil
}

// SendEmail keeps m and returns its id. A key that is still kept is answered with
// the same id and not kept again.
func (in *Inbox) SendEmail(ctx context.Context, m notify.Email) (string, error) {
	if err := m.Validate(); err != nil {
		return "", err
	}
	return in.keep(ctx, Message{
		Channel: notify.ChannelEmail, Key: m.Key, Kind: m.Kind, Tenant: m.Tenant,
		To: m.To.Email, Name: m.To.Name, Subject: m.Subject, Text: m.Text, HTML: m.HTML,
	})
}

// SendSMS keeps m and returns its id, like [Inbox.SendEmail].
func (in *Inbox) SendSMS(ctx context.Context, m notify.SMS) (string, error) {
	if err := m.Validate(); err != nil {
		return "", err
	}
	return in.keep(ctx, Message{Channel: notify.ChannelSMS, Key: m.Key, Kind: m.Kind, Tenant: m.Tenant, To: m.To, Text: m.Text})
}

func (in *Inbox) keep(ctx context.Context, m Message) (string, error) {
	fail := func(err error) (string, error) {
		return "", &notify.Error{Op: "devinbox: keep", Kind: notify.ErrUnavailable, Retryable: true, Err: err}
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if err := in.readDir(); err != nil {
		return fail(err)
	}
	for _, s := range in.messages {
		if m.Key != "" && s.Key == m.Key && s.Channel == m.Channel {
			return s.ID, nil
		}
	}
	m.ID, m.SentAt = newID(&m), time.Now().UTC()
	s := &stored{Message: m}
	s.file = fileName(s)
	if err := in.writeFile(s); err != nil {
		return fail(err)
	}
	in.insert(s)
	in.evict()
	return m.ID, nil
}

// newID is opaque and, with a key, the same in every process.
func newID(m *Message) string {
	key := m.Key
	if key == "" {
		key = rand.Text()
	}
	sum := sha256.Sum256([]byte(string(m.Channel) + " " + key))
	return hex.EncodeToString(sum[:8])
}

func (in *Inbox) insert(s *stored) {
	i, _ := slices.BinarySearchFunc(in.messages, s.file, byFile)
	in.messages = slices.Insert(in.messages, i, s)
	in.bytes += s.size()
}

func byFile(s *stored, file string) int {
	switch {
	case s.file < file:
		return -1
	case s.file > file:
		return 1
	}
	return 0
}

func (in *Inbox) evict() {
	for len(in.messages) > in.opts.max() || in.bytes > maxBytes && len(in.messages) > 1 {
		in.removeFile(in.messages[0])
		in.bytes -= in.messages[0].size()
		in.messages = slices.Delete(in.messages, 0, 1)
	}
}

// Messages returns a copy of what is kept, newest first.
func (in *Inbox) Messages() []Message {
	in.mu.Lock()
	defer in.mu.Unlock()
	if err := in.readDir(); err != nil {
		in.opts.logger().Warn("devinbox: cannot read the directory", "error", err)
	}
	list := make([]Message, 0, len(in.messages))
	for _, s := range slices.Backward(in.messages) {
		list = append(list, s.Message)
	}
	return list
}

// Clear removes all messages, from Options.Dir too.
func (in *Inbox) Clear() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if err := in.readDir(); err != nil {
		in.opts.logger().Warn("devinbox: cannot read the directory", "error", err)
	}
	for _, s := range in.messages {
		in.removeFile(s)
	}
	in.messages, in.bytes = nil, 0
}
