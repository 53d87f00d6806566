package rediscache

import (
	"strconv"
	"strings"

	"github.com/ashlar-go/ashlar/cache"
)

// An entry in Redis is a header of 68 ASCII characters and, after it, the value. The Lua
// scripts know these positions (theirs count from 1):
//
//	 0  C1       format
//	 2  state    L lease only, V value, H held by writers
//	 3  flag     1 if somebody awaits the end of the lease, 2 if the lease is the pause after
//	             a failed one, else 0
//	 4  token    of the lease, or of the fill when no lease was taken since (16)
//	20  end      of a lease or pause beside a value, in milliseconds of Redis' clock; zeros
//	             for none (13)
//	33  seq      of the value, on the logical clock (16)
//	49  version  of the value; zeros if unknown (19)
//	68  the value, as package cache encodes it; of state H the holds, each of them a token
//	    (16) and its end (13)
//
// The TTL of a lease (state L) and of a value is the key's own; with holds it is the last end.
const (
	headerLen = 68
	magic     = "C1"
	noToken   = "0000000000000000"
	noEnd     = "0000000000000"
	noSeq     = "0000000000000000"
	noVersion = "0000000000000000000"
	tokenLen  = 16
)

// leaseHeader is an entry that is only a lease.
func leaseHeader(token string) string { return magic + "L0" + token + noEnd + noSeq + noVersion }

// valueHeader precedes a value.
func valueHeader(token string, seq, version int64) string {
	return magic + "V0" + token + noEnd + digits(seq, noSeq) + digits(version, noVersion)
}

// digits writes n, which is not negative, as wide as zeros.
func digits(n int64, zeros string) string {
	text := strconv.FormatInt(n, 10)
	if len(text) < len(zeros) {
		text = zeros[len(text):] + text
	}
	return text
}

// parseEntry reads an entry; what is none of ours counts as an invalid value, to be replaced.
// Granted and Valid are left to the caller.
func parseEntry(raw string) (e cache.Entry, token string, seq int64) {
	foreign := cache.Entry{State: cache.Filled, ID: raw[:min(len(raw), headerLen)]}
	if len(raw) < headerLen || !strings.HasPrefix(raw, magic) {
		return foreign, "", -1
	}
	e.ID = raw[:headerLen]
	token = raw[4 : 4+tokenLen]
	switch raw[2] {
	case 'L':
		e.State = cache.Leased
		return e, token, 0
	case 'H':
		e.State = cache.Held
		return e, "", 0
	case 'V':
		seq, err1 := strconv.ParseInt(raw[33:49], 10, 64)
		version, err2 := strconv.ParseInt(raw[49:headerLen], 10, 64)
		if err1 != nil || err2 != nil || seq < 0 || version < 0 {
			return foreign, "", -1
		}
		e.State, e.Body, e.Version, e.Paused = cache.Filled, []byte(raw[headerLen:]), version, raw[3] == '2'
		return e, token, seq
	}
	return foreign, "", -1
}
