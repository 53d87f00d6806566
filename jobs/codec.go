package jobs

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
)

// What a sealed text is, so that one cannot be passed off as the other.
const (
	sealedArgs   = "args"
	sealedForKey = "args for key"
	sealedResult = "result"
)

// sealedMark begins a stored result that is sealed, and no JSON.
const sealedMark = 0

// maxResult bounds the JSON of a result in bytes.
const maxResult = 64 << 10

// bound is the data that a codec ties a sealed text to: the job it belongs to,
// or the schedule, or the unique key. Each part is preceded by its length, so
// that no two have the same.
func bound(what, kind, tenant, name string) []byte {
	b := []byte("jobs/1")
	for _, part := range []string{what, kind, tenant, name} {
		b = binary.AppendUvarint(b, uint64(len(part)))
		b = append(b, part...)
	}
	return b
}

func (o *Options) sealed() bool { return o != nil && o.Codec != nil }

// errInClear is the end of what RequireSealed refuses.
var errInClear = errors.New("jobs: stored in clear, which Options.RequireSealed refuses")

func (o *Options) refusesClear() bool { return o != nil && o.RequireSealed }

// boundArgs is what the arguments of a job are tied to: its id, but for a job
// that may replace another one, and then goes on under the id of that, to the
// key that both have.
func (e *envelope) boundArgs(id string) []byte {
	if e.Key != nil {
		return bound(sealedForKey, e.Kind, e.Tenant, string(e.Key))
	}
	return bound(sealedArgs, e.Kind, e.Tenant, id)
}

func (o *Options) open(what, kind, tenant, id string, sealed []byte) ([]byte, error) {
	return o.Codec.Open(sealed, bound(what, kind, tenant, id))
}

// keyOf names the key of a sealed text; false where the codec does not tell.
func (o *Options) keyOf(sealed []byte) (string, bool) {
	if !o.sealed() || sealed == nil {
		return "", false
	}
	codec, ok := o.Codec.(interface{ KeyOf(sealed []byte) string })
	if !ok {
		return "", false
	}
	return codec.KeyOf(sealed), true
}

// sealResult makes the stored form of a handler's result; nil if nobody will
// read it.
func (o *Options) sealResult(a *attempt, result []byte) ([]byte, error) {
	if len(result) > maxResult {
		return nil, Discard(fmt.Errorf("%w: result of %s has %d bytes, the limit is %d", ErrTooLarge, a.info.Kind, len(result), maxResult))
	}
	if a.env.Keep == 0 && a.info.Flow == "" {
		return nil, nil
	}
	if result == nil || !o.sealed() {
		return result, nil
	}
	sealed, err := o.Codec.Seal(result, bound(sealedResult, a.info.Kind, a.info.Tenant, a.info.ID))
	if err != nil {
		return nil, fmt.Errorf("jobs: seal the result of %s: %w", a.info.Kind, err)
	}
	return append([]byte{sealedMark}, sealed...), nil
}

// openResult reads what sealResult made, under whatever options: jobs of before
// and after the day on which a codec was set are side by side.
func (q *Queue) openResult(kind, tenant, id string, data []byte, into any) error {
	sealed, marked := bytes.CutPrefix(data, []byte{sealedMark})
	switch {
	case marked && !q.opts.sealed():
		return errors.New("result is sealed but Options.Codec is nil")
	case marked || q.opts.sealed() && !json.Valid(data): // without a mark: of a build that had none
		var err error
		if data, err = q.opts.open(sealedResult, kind, tenant, id, sealed); err != nil {
			return err
		}
	case q.opts.refusesClear():
		return errInClear
	}
	return json.Unmarshal(data, into)
}
