package rediscache

import (
	"strconv"
	"strings"
	"unsafe"

	"github.com/ashlar-go/ashlar/cache"
)

// An entry in Redis is a header of 84 ASCII characters and, after it, the value. The Lua
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
//	68  expiry   of the value, in milliseconds of Redis' clock, as that of the key (16)
//	84  the value, as package cache encodes it; of state H the holds, each of them a token
//	    (16) and its end (13)
//
// The TTL of a lease (state L) and of a value is the key's own; with holds it is the last end.
// The first 68 characters are what an entry is known by, and all that most scripts look at.
const (
	headerLen = 84
	idLen     = 68
	magic     = "C1"
	noToken   = "0000000000000000"
	noEnd     = "0000000000000"
	noSeq     = "0000000000000000"
	noVersion = "0000000000000000000"
	noExpiry  = "0000000000000000"
	tokenLen  = 16
)

// leaseHeader is an entry that is only a lease.
func leaseHeader(token string) string {
	return magic + "L0" + token + noEnd + noSeq + noVersion + noExpiry
}

// valueHeader precedes a value. The scripts that store it write the expiry.
func valueHeader(token string, seq, version int64) string {
	return magic + "V0" + token + noEnd + digits(seq, noSeq) + digits(version, noVersion) + noExpiry
}

// digits writes n, which is not negative, as wide as zeros.
func digits(n int64, zeros string) string {
	text := strconv.FormatInt(n, 10)
	if len(text) < len(zeros) {
		text = zeros[len(text):] + text
	}
	return text
}

// bytesOf is text as bytes, without a copy: a reply belongs to who asked, and is not looked at
// as a string any more.
func bytesOf(text string) []byte { return unsafe.Slice(unsafe.StringData(text), len(text)) }

// expiry is when a value that parseEntry has read expires; 0 for what no script of ours wrote.
func expiry(raw string) int64 {
	ms, err := strconv.ParseInt(raw[idLen:headerLen], 10, 64)
	if err != nil {
		return 0
	}
	return max(ms, 0)
}

// seqIn is the seq of the value that an ID names, -1 if it names none.
func seqIn(id string) int64 {
	if len(id) != idLen || !strings.HasPrefix(id, magic+"V") {
		return -1
	}
	seq, err := strconv.ParseInt(id[33:49], 10, 64)
	if err != nil {
		return -1
	}
	return seq
}

// parseEntry reads an entry; what is none of ours counts as an invalid value, to be replaced.
// Granted and Valid are left to the caller.
func parseEntry(raw string) (e cache.Entry, token string, seq int64) {
	foreign := cache.Entry{State: cache.Filled, ID: raw[:min(len(raw), idLen)]}
	if len(raw) < headerLen || !strings.HasPrefix(raw, magic) {
		return foreign, "", -1
	}
	e.ID = raw[:idLen]
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
		version, err2 := strconv.ParseInt(raw[49:idLen], 10, 64)
		if err1 != nil || err2 != nil || seq < 0 || version < 0 {
			return foreign, "", -1
		}
		e.State, e.Body, e.Version, e.Paused = cache.Filled, bytesOf(raw[headerLen:]), version, raw[3] == '2'
		return e, token, seq
	}
	return foreign, "", -1
}
