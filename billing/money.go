package billing

import (
	"fmt"
	"slices"
	"strings"
)

// Money is an amount in the currency's minor unit: Money{2900, "USD"} is 29 dollars, Money{500, "JPY"}
// is 500 yen. The zero value is no money in no currency.
type Money struct {
	Amount   int64
	Currency string // ISO 4217, upper case
}

// String formats the amount with as many decimals as the currency has: "29.00 USD".
func (m Money) String() string {
	digits := decimals(m.Currency)
	if digits == 0 {
		return fmt.Sprintf("%d %s", m.Amount, m.Currency)
	}
	sign, abs := "", uint64(m.Amount)
	if m.Amount < 0 {
		sign, abs = "-", -abs
	}
	unit := uint64(1)
	for range digits {
		unit *= 10
	}
	return fmt.Sprintf("%s%d.%0*d %s", sign, abs/unit, digits, abs%unit, m.Currency)
}

// decimals follows ISO 4217's minor units for the currencies payment providers charge in.
func decimals(currency string) int {
	switch {
	case slices.Contains(strings.Fields("BIF CLP DJF GNF JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"), currency):
		return 0
	case slices.Contains(strings.Fields("BHD IQD JOD KWD LYD OMR TND"), currency):
		return 3
	}
	return 2
}

func (m Money) validate() error {
	if m.Amount < 0 {
		return fmt.Errorf("amount %d is negative", m.Amount)
	}
	if len(m.Currency) != 3 || strings.Trim(m.Currency, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return fmt.Errorf("currency %q is not three upper-case letters", m.Currency)
	}
	return nil
}
