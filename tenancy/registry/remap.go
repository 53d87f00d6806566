package registry

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

// remapping gives ids new values: the same new value for the same old one, wherever it stands, without a table of them.
// The zero value keeps all ids.
type remapping struct {
	salt    string
	columns map[string]bool // "schema.table.column"
}

// newRemapping finds the columns whose UUIDs must be unique in the whole database, and those that refer to them.
func newRemapping(tables []*table, from, to string) remapping {
	m := remapping{salt: from + "\x00" + to, columns: map[string]bool{}}
	byOID := map[int64]*table{}
	for _, t := range tables {
		byOID[t.OID] = t
		for _, k := range t.Keys {
			if slices.Contains(k.Columns, t.Tenant) {
				continue
			}
			for _, name := range k.Columns {
				m.columns[t.Name+"."+name] = true
			}
		}
	}
	for changed := true; changed; { // both ways along foreign keys, until nothing is new
		changed = false
		for _, t := range tables {
			for _, f := range t.ForeignKeys {
				target := byOID[f.Target]
				if target == nil {
					continue // a row of nobody: it stays where it is
				}
				for i, name := range f.Columns {
					a, b := t.Name+"."+name, target.Name+"."+f.TargetColumns[i]
					if m.columns[a] != m.columns[b] && name != t.Tenant {
						m.columns[a], m.columns[b], changed = true, true, true
					}
				}
			}
		}
	}
	return m
}

// value returns the new value of an id; what is no id stays as it is.
func (m remapping) value(table, column string, v *string) *string {
	if v == nil || !m.columns[table+"."+column] {
		return v
	}
	id := m.uuid(*v)
	return &id
}

// uuid keeps the version and the first six bytes, which are the time in version 7, so that new ids sort as the old ones did.
func (m remapping) uuid(old string) string {
	b, err := hex.DecodeString(strings.ReplaceAll(old, "-", ""))
	if err != nil || len(b) != 16 || len(old) != 36 {
		return old
	}
	sum := sha256.Sum256([]byte(m.salt + "\x00" + strings.ToLower(old)))
	b[6] = b[6]&0xf0 | sum[6]&0x0f
	copy(b[7:], sum[7:16])
	b[8] = b[8]&0x3f | 0x80
	h := hex.EncodeToString(b)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
