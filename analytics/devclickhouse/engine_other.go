//go:build !linux || (!amd64 && !arm64)

package devclickhouse

func loadLibrary(string) (*library, error) { return nil, ErrUnsupported }
