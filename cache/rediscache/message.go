package rediscache

import (
	"strconv"
	"strings"

	"github.com/ashlar-go/ashlar/cache"
)

// Messages are one letter and what it is about:
//
//	I<key>            the entry was removed
//	T<tag>            the tag was invalidated
//	F<key>            an awaited lease has ended
//	B<n>/<i>/<m>      part i of the m parts of beat n, one through each master
func invalidated(key string) string { return "I" + key }
func stamped(tag string) string     { return "T" + tag }
func filled(key string) string      { return "F" + key }

func beat(n int64, i, m int) string {
	return "B" + strconv.FormatInt(n, 10) + "/" + strconv.Itoa(i) + "/" + strconv.Itoa(m)
}

const maxMasters = 1000

// message is a parsed one; a beat is part of so many parts.
type message struct {
	event       cache.Event
	part, parts int
}

func parseMessage(s string) (message, bool) {
	if s == "" {
		return message{}, false
	}
	switch name := s[1:]; s[0] {
	case 'I':
		return message{event: cache.Event{Kind: cache.EventInvalidated, Name: name}}, true
	case 'T':
		return message{event: cache.Event{Kind: cache.EventStamped, Name: name}}, true
	case 'F':
		return message{event: cache.Event{Kind: cache.EventFilled, Name: name}}, true
	case 'B':
		return parseBeat(name)
	}
	return message{}, false
}

func parseBeat(s string) (message, bool) {
	fields := strings.Split(s, "/")
	if len(fields) != 3 {
		return message{}, false
	}
	n, err1 := strconv.ParseInt(fields[0], 10, 64)
	part, err2 := strconv.Atoi(fields[1])
	parts, err3 := strconv.Atoi(fields[2])
	if err1 != nil || err2 != nil || err3 != nil || part < 0 || part >= parts || parts > maxMasters {
		return message{}, false
	}
	return message{cache.Event{Kind: cache.EventBeat, N: n}, part, parts}, true
}
