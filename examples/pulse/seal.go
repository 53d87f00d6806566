package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ashlar-go/ashlar/tenancy"
)

// parseSeal reads "<key id>:<secret in hex>", the form of SEAL_KEY. Its errors
// do not repeat what they were given.
func parseSeal(text string) (*tenancy.Seal, error) {
	kid, digits, ok := strings.Cut(strings.TrimSpace(text), ":")
	secret, err := hex.DecodeString(digits)
	if !ok || err != nil {
		return nil, errors.New("want <key id>:<64 hex digits>, as from: echo k1:$(openssl rand -hex 32)")
	}
	return tenancy.NewSeal(kid, secret)
}

// ownSeal returns the key of a database that pulse started itself; it is made
// at the first start and kept beside the data.
func ownSeal(dir string) (*tenancy.Seal, error) {
	file := filepath.Join(dir, "seal.key")
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		secret := make([]byte, 32)
		_, _ = rand.Read(secret) // never fails
		text = []byte("k1:" + hex.EncodeToString(secret))
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("-data: %w", err)
	}
	seal, err := parseSeal(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return seal, nil
}
