package billing

import (
	"fmt"
	"regexp"
	"strings"
)

// Catalog is what is for sale. [New] validates it and copies nothing: do not change it afterwards.
type Catalog struct {
	// Features declares every name that plans grant, so that a misspelt grant is found by New.
	Features []Feature
	// Plans in ascending order: the first later one that allows what was denied is the suggested upgrade.
	Plans []Plan
	// Default is the ID of the plan of tenants without a subscription in force. Empty: they have none.
	Default string
}

// Plan is a named set of grants at one or more prices.
type Plan struct {
	ID        string // stable; lower-case letters, digits, '-' and '_'
	Name      string // shown to buyers; empty means ID
	Prices    []Price
	Grants    Grants
	TrialDays int // days before the first charge of a new subscription; 0 means no trial
}

// Price is what a plan costs per interval. Intervals and currencies are unique within a plan.
type Price struct {
	Money
	Interval Interval
	// Key finds the price at the provider (Stripe: the price's lookup_key), so that one catalogue works
	// in test and live accounts. Empty means "<plan>_<interval>_<currency>": "pro_month_usd".
	Key string
}

// Flat is a price that does not depend on quantity: Flat(29_00, "USD", Monthly). The amount is in the
// currency's minor unit.
func Flat(amount int64, currency string, per Interval) Price {
	return Price{Money: Money{Amount: amount, Currency: currency}, Interval: per}
}

// Interval is how often a price is charged.
type Interval string

// The intervals.
const (
	Monthly Interval = "month"
	Yearly  Interval = "year"
)

// Feature is something a plan grants. Make one with [Flag] or [Quota].
type Feature struct {
	Name string // lower-case letters, digits, '-' and '_'
	flag bool
}

// Flag declares a feature that a plan has ([On]) or has not.
func Flag(name string) Feature { return Feature{Name: name, flag: true} }

// Quota declares a feature that a plan has a number of.
func Quota(name string) Feature { return Feature{Name: name} }

// Grants maps feature names to how much a plan has. A missing feature is not granted.
type Grants map[string]Limit

// Limit is how much of a feature is granted. Zero is none; below zero only [Unlimited] is valid.
type Limit int64

const (
	// Unlimited grants any amount.
	Unlimited Limit = -1
	// On grants a [Flag].
	On = Unlimited
)

// allows reports whether n more fit on top of used. Zero more always fit into something granted, also
// after a downgrade left more in use than the plan has.
func (l Limit) allows(used, n int64) bool {
	return l == Unlimited || l > 0 && (n == 0 || n <= int64(l)-used)
}

var nameRE = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

func (c *Catalog) validate() error {
	features := make(map[string]Feature, len(c.Features))
	for _, f := range c.Features {
		if !nameRE.MatchString(f.Name) {
			return fmt.Errorf("billing: feature %q: a name is 1-63 of a-z, 0-9, '-', '_'", f.Name)
		}
		if _, dup := features[f.Name]; dup {
			return fmt.Errorf("billing: feature %q is declared twice", f.Name)
		}
		features[f.Name] = f
	}
	plans, keys := map[string]bool{}, map[string]string{}
	for i := range c.Plans {
		p := &c.Plans[i]
		if plans[p.ID] {
			return fmt.Errorf("billing: plan %q is declared twice", p.ID)
		}
		plans[p.ID] = true
		if err := p.validate(features, keys); err != nil {
			return fmt.Errorf("billing: plan %q: %w", p.ID, err)
		}
	}
	if len(plans) == 0 {
		return fmt.Errorf("billing: the catalogue has no plans")
	}
	if c.Default != "" && !plans[c.Default] {
		return fmt.Errorf("billing: Catalog.Default names %q, which is no plan", c.Default)
	}
	return nil
}

func (p *Plan) validate(features map[string]Feature, keys map[string]string) error {
	if !nameRE.MatchString(p.ID) {
		return fmt.Errorf("an ID is 1-63 of a-z, 0-9, '-', '_'")
	}
	if p.TrialDays < 0 || p.TrialDays > 730 {
		return fmt.Errorf("TrialDays is %d: want 0 to 730", p.TrialDays)
	}
	for name, limit := range p.Grants {
		f, ok := features[name]
		switch {
		case !ok:
			return fmt.Errorf("grants %q, which Catalog.Features does not declare", name)
		case limit < Unlimited:
			return fmt.Errorf("grants %q: limit %d is below Unlimited", name, limit)
		case f.flag && limit > 0:
			return fmt.Errorf("grants %q: a flag is On or absent, not %d", name, limit)
		}
	}
	seen := map[string]bool{}
	for _, price := range p.Prices {
		if err := price.validate(); err != nil {
			return fmt.Errorf("price: %w", err)
		}
		if price.Interval != Monthly && price.Interval != Yearly {
			return fmt.Errorf("price: interval %q is neither Monthly nor Yearly", price.Interval)
		}
		if at := string(price.Interval) + price.Currency; seen[at] {
			return fmt.Errorf("two prices per %s in %s", price.Interval, price.Currency)
		} else {
			seen[at] = true
		}
		key := p.key(price)
		if other, dup := keys[key]; dup {
			return fmt.Errorf("price key %q is also used by plan %q", key, other)
		}
		keys[key] = p.ID
	}
	return nil
}

// key resolves the price's key.
func (p *Plan) key(price Price) string {
	if price.Key != "" {
		return price.Key
	}
	return p.ID + "_" + string(price.Interval) + "_" + strings.ToLower(price.Currency)
}

// price finds the first price that fits; empty arguments fit all. The result has its Key filled in.
func (p *Plan) price(interval Interval, currency string) (Price, bool) {
	for _, price := range p.Prices {
		if (interval == "" || interval == price.Interval) && (currency == "" || currency == price.Currency) {
			price.Key = p.key(price)
			return price, true
		}
	}
	return Price{}, false
}

func (c *Catalog) plan(id string) *Plan {
	for i := range c.Plans {
		if c.Plans[i].ID == id {
			return &c.Plans[i]
		}
	}
	return nil
}

// planOf finds the plan that is sold under a price key.
func (c *Catalog) planOf(key string) *Plan {
	for i := range c.Plans {
		for _, price := range c.Plans[i].Prices {
			if c.Plans[i].key(price) == key {
				return &c.Plans[i]
			}
		}
	}
	return nil
}

func (c *Catalog) feature(name string) bool {
	for _, f := range c.Features {
		if f.Name == name {
			return true
		}
	}
	return false
}

// upgrade is the first plan for sale after `from` that allows n of the feature on top of used, or "".
func (c *Catalog) upgrade(from *Plan, feature string, used, n int64) string {
	after := from == nil
	for i := range c.Plans {
		p := &c.Plans[i]
		if after && len(p.Prices) > 0 && p.Grants[feature].allows(used, n) {
			return p.ID
		}
		after = after || p == from
	}
	return ""
}
