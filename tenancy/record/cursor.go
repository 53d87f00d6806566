package record

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql/driver"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/ashlar-go/ashlar/tenancy/internal/rowop"
)

// maxCursor bounds a cursor's text: it travels in URLs, and what records are ordered by is short.
const maxCursor = 8 << 10

var errLongCursor = errors.New("record: a value that the page is ordered by is too long for a cursor; order by a column of short values")

// position is a place between two rows of an order: behind the row with these values, or before it.
type position struct {
	Values []*string `json:"v"` // as text, null for null
	At     bool      `json:"i,omitempty"`
}

func checkCursorKeys(keys [][]byte) error {
	for i, key := range keys {
		if len(key) < 32 {
			return fmt.Errorf("cursor key %d has %d bytes, want 32 or more", i, len(key))
		}
	}
	return nil
}

// sealer seals the positions of one query: its keys are derived from what the cursor is bound to, so a cursor of another
// tenant, table, order or filter looks like a forged one.
//
// A cursor is a synthetic IV, the HMAC of the text, and the text under AES-CTR with it: who has no key neither changes nor
// reads it, and the same position gives the same cursor, so that answers with cursors can be compared and cached.
type sealer struct{ keys [][2][]byte } // to authenticate and to encrypt

func (p *plan) sealer(tenant string, q Query, order []rowop.Order) (*sealer, error) {
	bound, err := p.binding(tenant, q, order)
	if err != nil {
		return nil, err
	}
	s := &sealer{}
	for _, key := range p.keys {
		own := sum(key, []byte("ashlar record cursor 2"), bound)
		s.keys = append(s.keys, [2][]byte{sum(own, []byte("mac")), sum(own, []byte("enc"))})
	}
	return s, nil
}

func sum(key []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, part := range parts {
		h.Write(part)
	}
	return h.Sum(nil)
}

// stream en- or decrypts in place.
func stream(key, iv, text []byte) {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // only for a key of the wrong length
	}
	cipher.NewCTR(block, iv).XORKeyStream(text, text)
}

func (s *sealer) seal(at position) (string, error) {
	text, err := json.Marshal(at)
	if err != nil {
		panic(err) // strings and a bool
	}
	iv := sum(s.keys[0][0], text)[:aes.BlockSize]
	stream(s.keys[0][1], iv, text)
	cursor := base64.RawURLEncoding.EncodeToString(append(iv, text...))
	if len(cursor) > maxCursor {
		return "", errLongCursor
	}
	return cursor, nil
}

func (s *sealer) open(cursor string, columns int) (position, error) {
	var at position
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(cursor) > maxCursor || len(raw) <= aes.BlockSize {
		return at, ErrCursor
	}
	iv, sealed := raw[:aes.BlockSize], raw[aes.BlockSize:]
	for _, key := range s.keys {
		text := append([]byte{}, sealed...)
		stream(key[1], iv, text)
		if !hmac.Equal(iv, sum(key[0], text)[:aes.BlockSize]) {
			continue
		}
		if json.Unmarshal(text, &at) != nil || len(at.Values) != columns {
			return position{}, ErrCursor
		}
		return at, nil
	}
	return at, ErrCursor
}

// cursorText writes an encoded value.
func cursorText(v any) (*string, error) {
	if d, ok := v.(driver.Valuer); ok { // which may be null
		said, err := d.Value()
		if err != nil {
			return nil, err
		}
		v = said
	}
	var s string
	switch v := v.(type) {
	case nil:
		return nil, nil
	case bool:
		s = strconv.FormatBool(v)
	case int64:
		s = strconv.FormatInt(v, 10)
	case float64:
		s = strconv.FormatFloat(v, 'g', -1, 64)
	case string:
		s = v
	case time.Time:
		s = strconv.FormatInt(v.UnixMicro(), 10)
	case []byte:
		s = hex.EncodeToString(v)
	default:
		text, err := rowop.TextOf(v)
		if err != nil {
			return nil, err
		}
		s = text
	}
	return &s, nil
}

// cursorValue reads it back.
func cursorValue(c *rowop.Column, text *string) (any, error) {
	if text == nil {
		return nil, nil
	}
	switch c.Class {
	case rowop.Bool:
		return strconv.ParseBool(*text)
	case rowop.Int:
		return strconv.ParseInt(*text, 10, 64)
	case rowop.Float:
		return strconv.ParseFloat(*text, 64)
	case rowop.Time:
		micros, err := strconv.ParseInt(*text, 10, 64)
		return time.UnixMicro(micros).UTC(), err
	case rowop.Bytes:
		return hex.DecodeString(*text)
	}
	return *text, nil
}
