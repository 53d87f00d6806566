package jobs

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
)

// Keyring is an Options.Codec that encrypts with AES-GCM under a random nonce
// (NIST SP 800-38D): who reads the store learns the sizes of arguments and
// results but not what is in them. Kinds, tenants, ids, unique keys, error texts
// and progress stay readable.
//
// Who writes to the store can neither change what is sealed nor move it to
// another job, kind or tenant; arguments of the scope Replace, which may become
// another job's, not to another unique key. He can store a job or a result a
// second time, and put some in clear in the place of sealed ones: only
// Options.RequireSealed refuses those.
//
// To rotate keys, first give all processes a ring that has the new key beside
// the old one, then make the new one current, and drop the old one when no
// stored job, result or schedule needs it (Entry.SealedBy, Schedule.SealedBy).
// Schedules need it until Queue.Schedule is called for them again: the same one
// again is sealed anew and goes on as it did. A key should seal no more than 2³²
// texts.
//
// Make one with NewKeyring; the zero value has no keys and its Seal panics. A
// ring does not change and is safe for concurrent use.
type Keyring struct {
	current string
	keys    map[string]cipher.AEAD
}

// keyringVersion begins what Seal returns: version, length of the key's id,
// id, nonce, text, tag.
const keyringVersion = 1

// NewKeyring makes a ring of keys of 16, 24 or 32 bytes; current names the one
// that seals, all of them open. Names have 1 to 128 letters, digits and
// _-.:/@+; they are stored readably with each text. The keys are copied: the
// caller may overwrite the map and its slices afterwards.
func NewKeyring(current string, keys map[string][]byte) (*Keyring, error) {
	k := &Keyring{current: current, keys: make(map[string]cipher.AEAD, len(keys))}
	for name, key := range keys {
		if err := checkName("key name", name); err != nil {
			return nil, err
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, fmt.Errorf("jobs: key %s: %w", name, err)
		}
		if k.keys[name], err = cipher.NewGCMWithRandomNonce(block); err != nil {
			return nil, fmt.Errorf("jobs: key %s: %w", name, err)
		}
	}
	if k.keys[current] == nil {
		return nil, fmt.Errorf("jobs: keyring has no key %.40q", current)
	}
	return k, nil
}

// Seal encrypts plain under the current key and binds it to bound.
func (k *Keyring) Seal(plain, bound []byte) ([]byte, error) {
	aead := k.keys[k.current]
	sealed := make([]byte, 0, 2+len(k.current)+len(plain)+aead.Overhead())
	sealed = append(sealed, keyringVersion, byte(len(k.current)))
	sealed = append(sealed, k.current...)
	return aead.Seal(sealed, nil, plain, bound), nil
}

// KeyOf names the key that Seal used for a text; "" for what is not of a
// Keyring. The name is not authentic before Open has succeeded.
func (k *Keyring) KeyOf(sealed []byte) string {
	name, _, _ := splitSealed(sealed)
	return name
}

func splitSealed(sealed []byte) (name string, text []byte, ok bool) {
	if len(sealed) < 2 || sealed[0] != keyringVersion || len(sealed) < 2+int(sealed[1]) {
		return "", nil, false
	}
	return string(sealed[2 : 2+int(sealed[1])]), sealed[2+int(sealed[1]):], true
}

// Open decrypts what Seal returned for the same bound. It answers
// ErrUnknownKey if the ring does not have the key.
func (k *Keyring) Open(sealed, bound []byte) ([]byte, error) {
	name, text, ok := splitSealed(sealed)
	if !ok {
		return nil, errors.New("jobs: not sealed by a keyring")
	}
	aead := k.keys[name]
	if aead == nil {
		return nil, fmt.Errorf("%w: %.40q", ErrUnknownKey, name)
	}
	plain, err := aead.Open(nil, nil, text, bound)
	if err != nil {
		return nil, errors.New("jobs: sealed text was changed or belongs to another job")
	}
	return plain, nil
}
