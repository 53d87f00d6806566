package rediscache

import (
	"strconv"
	"strings"

	"github.com/ashlar-go/ashlar/cache"
)

// An entry in Redis is a header of 49 ASCII characters and, after it, the value. The Lua
// scripts know these positions (theirs count from 1):
//
//	 0  C1    format
//	 2  state L lease only, V value, H held by writers
//	 3  flag  1 if somebody awaits the end of the lease, else 0
//	 4  token of the lease, or of the fill when no lease was taken since (16)
//	20  end   of a lease beside a value, in milliseconds of Redis' clock; zeros for none (13)
//	33  seq   of the value, on the logical clock (16)
//	49  the value, as package cache encodes it
//
// The TTL of a lease (state L) and of a value is the key's own.
const (
	headerLen = 49
	magic     = "C1"
	noEnd     = "0000000000000"
	noSeq     = "0000000000000000"
	tokenLen  = 16
)

// leaseHeader is an entry that is only a lease.
func leaseHeader(token string) string { return magic + "L0" + token + noEnd + noSeq }

// valueHeader precedes a value.
func valueHeader(token string, seq int64) string {
	n := strconv.FormatInt(seq, 10)
	if len(n) < len(noSeq) {
		n = noSeq[len(n):] + n
	}
	return magic + "V0" + token + noEnd + n
}

// parseEntry reads an entry; what is none of ours counts as an invalid value, to be replaced.
// Granted and Valid are left to the caller.
func parseEntry(raw string) (e cache.Entry, token string, seq int64) {
	foreign := cache.Entry{State: cache.Filled, Version: raw[:min(len(raw), headerLen)]}
	if len(raw) < headerLen || !strings.HasPrefix(raw, magic) {
		return foreign, "", -1
	}
	e.Version = raw[:headerLen]
	token = raw[4 : 4+tokenLen]
	switch raw[2] {
	case 'L':
		e.State = cache.Leased
		return e, token, 0
	case 'H':
		e.State = cache.Held
		return e, "", 0
	case 'V':
		seq, err := strconv.ParseInt(raw[33:headerLen], 10, 64)
		if err != nil || seq < 0 {
			return foreign, "", -1
		}
		e.State, e.Body = cache.Filled, []byte(raw[headerLen:])
		return e, token, seq
	}
	return foreign, "", -1
}
