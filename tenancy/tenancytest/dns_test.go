package tenancytest_test

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy/tenancytest"
)

func TestDNS(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var dns tenancytest.DNS
		ask := func() ([]string, *net.DNSError) {
			values, err := dns.LookupTXT(t.Context(), "_x.A.example.")
			if err == nil {
				return values, nil
			}
			var dnsErr *net.DNSError
			require.ErrorAs(t, err, &dnsErr)
			return values, dnsErr
		}
		_, err := ask()
		require.True(t, err.IsNotFound)
		dns.SetTXT("_X.a.example", "one", "two")
		values, err := ask()
		require.Nil(t, err)
		require.Equal(t, []string{"one", "two"}, values)
		dns.Fail("_x.a.example.", tenancytest.NotFound)
		_, err = ask()
		require.True(t, err.IsNotFound)
		dns.Fail("", tenancytest.ServFail)
		_, err = ask()
		require.True(t, err.IsTemporary)
		require.False(t, err.IsNotFound)
		dns.Fail("", tenancytest.Timeout)
		_, err = ask()
		require.True(t, err.IsTimeout)
		dns.Fail("", tenancytest.Hang)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begun := time.Now()
		_, hung := dns.LookupTXT(ctx, "b.example")
		require.Error(t, hung)
		require.Equal(t, time.Minute, time.Since(begun))
		dns.Fail("", tenancytest.NoFault)
		dns.Fail("_x.a.example", tenancytest.NoFault)
		values, err = ask()
		require.Nil(t, err)
		require.Len(t, values, 2)
		dns.SetTXT("_x.a.example")
		_, err = ask()
		require.True(t, err.IsNotFound)
		require.Equal(t, 8, dns.Queries())
	})
}
