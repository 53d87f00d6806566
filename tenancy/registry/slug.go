package registry

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// maxSlugs bounds the slugs that a tenant holds, old ones included: they stay reserved for it, so an unbounded number would
// let one tenant take all good names.
const maxSlugs = 10

// A slug is one DNS label, so that it fits before a domain. The form xn--… is that of an internationalised name, whose
// look-alikes are why slugs are ASCII only.
var slugForm = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$`)

// idForm bounds ids of tenants, and of users where they stand in names: no separators, no spaces, no '~', with which
// reserved ids begin.
var idForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// reserved are slugs that a reader would take for the operator's own, or that have a meaning of their own on the web.
var reserved = strings.Fields(`about abuse account accounts admin administrator api app assets auth autoconfig autodiscover billing
	blog broadcasthost cdn chat cname community contact dashboard demo dev developer developers dns docs download email example
	files ftp git graphql help home host hostmaster imap info internal invite isatap jobs legal localdomain localhost login logout
	mail marketing me media metrics mx news noc noreply no-reply ns ns1 ns2 null oauth official ops partner password pay payments
	policy pop pop3 portal postmaster press privacy prod production proxy public root sales sandbox secure security service
	services settings shop signin signup site sites smtp sso staging static statistics stats status store sub subdomain support
	sysadmin system team terms test tls tmp undefined usenet user users uucp vpn webmail webmaster wpad ws www www1 www2`)

// normalSlug folds case, cuts surrounding space, and refuses everything that is not a free DNS label in ASCII.
func (r *Registry) normalSlug(text string) (string, error) {
	slug, err := foldSlug(text)
	if err != nil {
		return "", err
	}
	if slices.Contains(reserved, slug) || slices.Contains(r.opts.Reserved, slug) {
		return "", fmt.Errorf("%w: the slug is reserved", ErrTaken)
	}
	return slug, nil
}

// foldSlug is normalSlug without the reserved names, for lookups.
func foldSlug(text string) (string, error) {
	text = strings.Trim(text, " \t\r\n")
	if len(text) > 63 {
		return "", fmt.Errorf("%w slug: longer than 63 characters", ErrMalformed)
	}
	slug := foldASCII(text)
	if !slugForm.MatchString(slug) || len(slug) > 3 && slug[2:4] == "--" {
		return "", fmt.Errorf("%w slug: want letters a to z, digits and inner hyphens", ErrMalformed)
	}
	return slug, nil
}

// foldASCII lower-cases A to Z only: strings.ToLower also makes ASCII of the Kelvin sign.
func foldASCII(s string) string {
	folded := []byte(s)
	for i, c := range folded {
		if 'A' <= c && c <= 'Z' {
			folded[i] = c + 'a' - 'A'
		}
	}
	return string(folded)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
