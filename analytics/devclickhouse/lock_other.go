//go:build !unix

package devclickhouse

import "context"

// lockFile is never needed here: there is no package for systems without flock.
func lockFile(context.Context, string) (func(), error) { return nil, ErrUnsupported }
