package notify

// Notification is something to tell people. A typed one is a struct whose
// exported fields the templates of its kind use; [Message] is one that brings
// its own text.
type Notification interface {
	// Kind names the notification and its folder of templates, for example
	// "incident.opened": lower-case letters, digits and "._-", at most 64.
	Kind() string
	// Recipients are the people to tell, each alone: nobody sees another's
	// address. The slice is read, not kept. At most 1000.
	Recipients() []Recipient
}

// Keyed is a [Notification] that must not be repeated for the same fact. The key
// names the fact ("incident:42:opened"); tenant, kind, recipient and channel are
// added to it. Without one, each Send is a new fact. Where it is honoured: see
// the Delivery section of the package.
type Keyed interface {
	IdempotencyKey() string
}

// Message is a [Notification] with ready-made text for one recipient. Fill Text,
// HTML or both (with a Subject) for e-mail, SMS for a text message, or all.
type Message struct {
	To      Recipient
	Subject string // one line, at most 255 bytes
	Text    string // plain text of the e-mail
	HTML    string // HTML of the e-mail; sent as given, so escape what users typed
	SMS     string // at most 1600 characters
	Key     string // see [Keyed]; empty: none
}

// Kind is "message".
func (Message) Kind() string { return "message" }

// Recipients is To alone.
func (m Message) Recipients() []Recipient { return []Recipient{m.To} }

// IdempotencyKey is Key.
func (m Message) IdempotencyKey() string { return m.Key }

var (
	_ Notification = Message{}
	_ Keyed        = Message{}
)
