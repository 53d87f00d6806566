package cache

import (
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
)

// Layout of the names that go to the store. The parts before the last cannot contain ':'
// (cache names by their alphabet, tenants by escaping), so that no two of them collide:
//
//	entry   <cache>:<tenant>:<key>     tenant is empty for data of no tenant
//	tag     g:<tenant>:<tag>
//	cache   c:<tenant>:<cache>         all entries of a cache; of all tenants if tenant is empty
//	tenant  t:<tenant>                 everything of a tenant
//	all     *                          everything under the store's prefix
const (
	scopeAll  = "*"
	bytesName = "_" // the cache behind Hub.GetOrLoad; Define refuses the name

	maxPart = 200 // longer keys and tags are replaced by their SHA-256
)

var nameRule = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$`)

var (
	escapeTenant = strings.NewReplacer("%", "%25", ":", "%3A")
	escapePart   = strings.NewReplacer("%", "%25", "/", "%2F")
)

func entryKey(cache, tenant, key string) string {
	return cache + ":" + bound(escapeTenant.Replace(tenant)) + ":" + bound(key)
}

func tagKey(tenant, tag string) string {
	return "g:" + bound(escapeTenant.Replace(tenant)) + ":" + bound(tag)
}

func cacheKey(cache, tenant string) string {
	return "c:" + bound(escapeTenant.Replace(tenant)) + ":" + cache
}

// tenantKey covers all tenants if there is none.
func tenantKey(tenant string) string {
	if tenant == "" {
		return scopeAll
	}
	return "t:" + bound(escapeTenant.Replace(tenant))
}

// bound keeps parts short: a long one becomes "~" and its hash, and one that starts with "~"
// by itself is marked with a second one, which hex digits cannot contain.
func bound(part string) string {
	if len(part) > maxPart {
		sum := sha256.Sum256([]byte(part))
		return "~" + hex.EncodeToString(sum[:])
	}
	if strings.HasPrefix(part, "~") {
		return "~" + part
	}
	return part
}

var textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()

// keyText writes the usual keys, and leaves the others to encode.
func keyText[K comparable](key K, encode func(reflect.Value) (string, error)) (string, error) {
	switch k := any(key).(type) {
	case string:
		return k, nil
	case int:
		return strconv.Itoa(k), nil
	case int64:
		return strconv.FormatInt(k, 10), nil
	}
	return encode(reflect.ValueOf(key))
}

// keyEncoder returns the function that writes keys of type t, such that different keys get
// different texts, or an error for types of which that cannot be said (floats, pointers…).
func keyEncoder(t reflect.Type) (func(reflect.Value) (string, error), error) {
	if t.Kind() != reflect.Pointer && t.Kind() != reflect.Interface && t.Implements(textMarshaler) {
		return func(v reflect.Value) (string, error) {
			text, err := v.Interface().(encoding.TextMarshaler).MarshalText()
			return string(text), err
		}, nil
	}
	switch t.Kind() {
	case reflect.String:
		return func(v reflect.Value) (string, error) { return v.String(), nil }, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return func(v reflect.Value) (string, error) { return strconv.FormatInt(v.Int(), 10), nil }, nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return func(v reflect.Value) (string, error) { return strconv.FormatUint(v.Uint(), 10), nil }, nil
	case reflect.Bool:
		return func(v reflect.Value) (string, error) { return strconv.FormatBool(v.Bool()), nil }, nil
	case reflect.Array:
		return arrayEncoder(t)
	case reflect.Struct:
		return structEncoder(t)
	}
	return nil, fmt.Errorf("key type %s: want strings, integers, booleans, arrays and structs of them, or an encoding.TextMarshaler", t)
}

func arrayEncoder(t reflect.Type) (func(reflect.Value) (string, error), error) {
	elem, err := keyEncoder(t.Elem())
	if err != nil {
		return nil, err
	}
	return func(v reflect.Value) (string, error) {
		parts := make([]string, v.Len())
		for i := range parts {
			var err error
			if parts[i], err = elem(v.Index(i)); err != nil {
				return "", err
			}
		}
		return joinParts(parts), nil
	}, nil
}

func structEncoder(t reflect.Type) (func(reflect.Value) (string, error), error) {
	fields := make([]func(reflect.Value) (string, error), t.NumField())
	for i := range fields {
		if !t.Field(i).IsExported() {
			return nil, fmt.Errorf("key type %s: field %s is not exported", t, t.Field(i).Name)
		}
		enc, err := keyEncoder(t.Field(i).Type)
		if err != nil {
			return nil, err
		}
		fields[i] = enc
	}
	return func(v reflect.Value) (string, error) {
		parts := make([]string, len(fields))
		for i, enc := range fields {
			var err error
			if parts[i], err = enc(v.Field(i)); err != nil {
				return "", err
			}
		}
		return joinParts(parts), nil
	}, nil
}

func joinParts(parts []string) string {
	for i := range parts {
		parts[i] = escapePart.Replace(parts[i])
	}
	return strings.Join(parts, "/")
}
