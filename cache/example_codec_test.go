package cache_test

import (
	"bytes"
	"context"
	"encoding/gob"
	"fmt"
	"time"

	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/cache/cachetest"
)

// gobCodec stores values as encoding/gob writes them.
type gobCodec struct{}

func (gobCodec) Name() string { return "gob" }

func (gobCodec) Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(v)
	return b.Bytes(), err
}

func (gobCodec) Unmarshal(data []byte, v any) error {
	return gob.NewDecoder(bytes.NewReader(data)).Decode(v)
}

func ExampleCodec() {
	hub, err := cache.New(cachetest.NewStore(), nil)
	if err != nil {
		panic(err)
	}
	users := cache.Define[int64, User](hub, "users", &cache.Policy{
		TTL:          time.Minute,
		Codec:        gobCodec{}, // in place of JSON
		CompressOver: 4 << 10,    // what is longer than 4 kB
	})
	for range 2 {
		u, err := users.Fetch(context.Background(), 42, loadUser)
		fmt.Println(u.Name, err)
	}
	// Output:
	// loading 42
	// Ann <nil>
	// Ann <nil>
}
