package main

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ashlar-go/ashlar/tenancy"
)

// seals are what is made of the one secret that all processes share: the seal
// of tenants, and the key that seals the cursors of pages.
type seals struct {
	tenants *tenancy.Seal // nil: the database is not sealed
	cursors []byte        // nil: cursors end with their process
}

// parseSeals reads "<key id>:<secret in hex>", the form of SEAL_KEY. Its errors
// do not repeat what they were given.
func parseSeals(text string) (s seals, err error) {
	kid, digits, ok := strings.Cut(strings.TrimSpace(text), ":")
	secret, err := hex.DecodeString(digits)
	if !ok || err != nil {
		return s, errors.New("want <key id>:<64 hex digits>, as from: echo k1:$(openssl rand -hex 32)")
	}
	if s.tenants, err = tenancy.NewSeal(kid, secret); err != nil {
		return seals{}, err
	}
	s.cursors, err = hkdf.Key(sha256.New, secret, nil, "pulse cursors", sha256.Size)
	return s, err
}

// ownSeals returns those of a database that pulse started itself; the
// secret is made at the first start and kept beside the data.
func ownSeals(dir string) (seals, error) {
	file := filepath.Join(dir, "seal.key")
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		secret := make([]byte, 32)
		_, _ = rand.Read(secret) // never fails
		text = []byte("k1:" + hex.EncodeToString(secret))
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		return seals{}, fmt.Errorf("-data: %w", err)
	}
	s, err := parseSeals(string(text))
	if err != nil {
		return seals{}, fmt.Errorf("%s: %w", file, err)
	}
	return s, nil
}
