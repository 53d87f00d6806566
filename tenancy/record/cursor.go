package record

import "fmt"

func checkCursorKeys(keys [][]byte) error {
	for i, key := range keys {
		if len(key) < 32 {
			return fmt.Errorf("cursor key %d has %d bytes, want 32 or more", i, len(key))
		}
	}
	return nil
}
