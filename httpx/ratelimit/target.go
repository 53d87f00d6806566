package ratelimit

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
)

// target finds out which buckets a call is about.
func (l *Limiter) target(ctx context.Context, key string) (group string, rules []rule, err error) {
	tenant, rules := "", l.rules
	if l.opts.Tenant != nil {
		var ok bool
		if tenant, ok = l.opts.Tenant(ctx); !ok || tenant == "" {
			return "", nil, ErrNoTenant
		}
	}
	if l.opts.Limits != nil {
		limits, err := l.opts.Limits(ctx)
		if err != nil {
			return "", nil, err
		}
		if len(limits) > 0 {
			if rules, err = l.compile(limits); err != nil {
				return "", nil, err
			}
		}
	}
	return l.hash(tenant, key), rules, nil
}

func (l *Limiter) compile(limits []Limit) ([]rule, error) {
	if len(limits) == 0 {
		return nil, fmt.Errorf("%w: %s has none", ErrLimit, l.name)
	}
	rules := make([]rule, len(limits))
	for i, limit := range limits {
		r, err := limit.rule(l.name)
		if err != nil {
			return nil, err
		}
		r.key = r.name
		if limit.Key != "" {
			r.key += ":" + l.hash("", limit.Key)
		}
		for _, other := range rules[:i] {
			if other.key == r.key {
				return nil, fmt.Errorf("%w %s: there are two of this name", ErrLimit, r.name)
			}
		}
		rules[i] = r
	}
	return rules, nil
}

// hash makes a name for the store that says nothing: keys are addresses and tokens.
func (l *Limiter) hash(tenant, key string) string {
	buf := make([]byte, 0, 128)
	buf = strconv.AppendInt(buf, int64(len(tenant)), 10) // so that no other pair reads the same
	buf = append(append(append(buf, ':'), tenant...), key...)
	if len(l.opts.Secret) > 0 {
		mac := hmac.New(sha256.New, l.opts.Secret)
		mac.Write(bytes.Clone(buf)) // so that buf stays on the stack
		return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:hashSize])
	}
	sum := sha256.Sum256(buf)
	var text [(hashSize*8 + 5) / 6]byte
	base64.RawURLEncoding.Encode(text[:], sum[:hashSize])
	return string(text[:])
}

// hashSize is the number of bytes of a hash that are used: of 2^64 keys two would meet in one bucket.
const hashSize = 16
