package tenancytest

import (
	"context"
	"net"
	"strings"
	"sync"
)

// DNS answers TXT queries from memory: a fake for what takes a *net.Resolver by its method LookupTXT. The zero value is ready
// for use and knows no name. It is safe for concurrent use.
type DNS struct {
	mu      sync.Mutex
	txt     map[string][]string
	faults  map[string]DNSFault
	queries int
}

// DNSFault is how a query goes wrong.
type DNSFault int

// The faults. A name without records is not found, as with NoFault.
const (
	NoFault  DNSFault = iota
	NotFound          // NXDOMAIN, whatever records there are
	ServFail          // the server answers that it cannot answer
	Timeout           // the resolver gives up at once
	Hang              // the query lasts until its context ends
)

// SetTXT makes values the TXT records of a name; none removes them. Case and a dot at the end do not matter.
func (d *DNS) SetTXT(name string, values ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.txt == nil {
		d.txt = map[string][]string{}
	}
	d.txt[dnsName(name)] = append([]string{}, values...)
}

// Fail makes queries for a name go wrong until it is called with NoFault; the empty name is every name.
func (d *DNS) Fail(name string, fault DNSFault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.faults == nil {
		d.faults = map[string]DNSFault{}
	}
	d.faults[dnsName(name)] = fault
}

// Queries returns how many queries there were.
func (d *DNS) Queries() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.queries
}

// LookupTXT answers like *net.Resolver: what is wrong is a *net.DNSError.
func (d *DNS) LookupTXT(ctx context.Context, name string) ([]string, error) {
	d.mu.Lock()
	d.queries++
	values := append([]string{}, d.txt[dnsName(name)]...)
	fault := max(d.faults[dnsName(name)], d.faults[""])
	d.mu.Unlock()
	switch {
	case fault == Hang:
		<-ctx.Done()
		return nil, &net.DNSError{Err: ctx.Err().Error(), Name: name, IsTimeout: true, IsTemporary: true}
	case fault == Timeout:
		return nil, &net.DNSError{Err: "i/o timeout", Name: name, IsTimeout: true, IsTemporary: true}
	case fault == ServFail:
		return nil, &net.DNSError{Err: "server misbehaving", Name: name, IsTemporary: true}
	case fault == NotFound, len(values) == 0:
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return values, nil
}

func dnsName(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }
