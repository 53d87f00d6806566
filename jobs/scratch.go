package jobs

import (
	"bytes"
	"encoding/json"
	"sync"
)

// scratch is where the arguments of a job become JSON, of which its body has a
// copy: memory that would be garbage after each enqueue is used again.
type scratch struct {
	text bytes.Buffer
	json *json.Encoder
}

// mostScratch bounds what is kept for the next job, in bytes.
const mostScratch = 16 << 10

var scratches = sync.Pool{New: func() any {
	s := &scratch{}
	s.json = json.NewEncoder(&s.text)
	return s
}}

func newScratch() *scratch { return scratches.Get().(*scratch) }

func (s *scratch) release() {
	if s.text.Cap() <= mostScratch {
		scratches.Put(s)
	}
}

// marshal is json.Marshal. Its answer is good until the next call or release.
func (s *scratch) marshal(v any) ([]byte, error) {
	s.text.Reset()
	if err := s.json.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(s.text.Bytes(), []byte("\n")), nil
}
